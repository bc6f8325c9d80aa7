# --dry-run prints the plan and changes nothing.
#: image
#: kernel 6.12
#: step shows-and-does-nothing 0 ours
fixture single-1.0 depa-1.0 depb-1.0 exclwhole-1.0 unknowndep-1.0
dkms install single/1.0 -k "$K" -k "$K612" --dry-run >/root/plan
grep -q 'build single/1.0 for kernel' /root/plan
grep -q 'Nothing was done' /root/plan
same "$(ls -A /var/lib/dkms)" ""
#: step the-order-and-the-reasons 0 ours
for m in single depa depb exclwhole unknowndep; do dkms add $m/1.0; done
before=$(find /var/lib/dkms /lib/modules/*/updates /usr/src/*-1.0 -printf '%p %T@\n' 2>/dev/null | sort)
dkms autoinstall -k "$K" --dry-run --json >/root/plan.json
same "$(find /var/lib/dkms /lib/modules/*/updates /usr/src/*-1.0 -printf '%p %T@\n' 2>/dev/null | sort)" "$before"
python3 - <<'PYTHON'
import json
plan = json.load(open("/root/plan.json"))
steps = plan["steps"]
at = {(s["step"], s.get("package")): n for n, s in enumerate(steps)}
assert plan["schema"] == 1
assert ("make-key", None) in at
assert at["build", "depb"] > at["install", "depa"]
assert at["install", "depa"] in steps[at["build", "depb"]]["after"]
assert ("skip", "exclwhole") in at and ("defer", "unknowndep") in at
assert steps[at["depmod", None]]["after"]
assert all(s["reason"] for s in steps)
PYTHON
#: step what-is-planned-is-what-happens 0 ours
dkms autoinstall -k "$K"
same "$(dkms status | sed -n 's,/1.0.*: installed$,,p' | tr '\n' ' ')" "depa depb single "
#: step nothing-to-do 0 ours
dkms install single/1.0 -k "$K" --dry-run | grep -q 'nothing to do about single/1.0'
#: step files-of-a-removal 0 ours
dkms remove single/1.0 --all --dry-run >/root/plan
grep -q "/lib/modules/$K/updates/dkms/single.ko" /root/plan
grep -q 'remove single/1.0 from the tree' /root/plan
same "$(dkms status single)" "single/1.0, $K, $A: installed"
#: step a-directory 0 ours
cp -r /e2e/fixtures/multi-1.0 /root/
dkms install /root/multi-1.0 -k "$K" --dry-run | grep -q 'copy /root/multi-1.0 to /usr/src/multi-1.0'
test ! -e /usr/src/multi-1.0
#: step hooks 0 ours
dkms kernel_prerm -k "$K" --dry-run | grep -q 'uninstall single/1.0'
dkms generate_mok --dry-run | grep -q 'is there'
dkms match --templatekernel "$K" -k "$K612" --dry-run | grep -q 'build depa/1.0'
#: step no-such-module 3 ours
dkms uninstall nothing/1.0 -k "$K" --dry-run
#: step nothing-to-show 2 ours
dkms status --dry-run
