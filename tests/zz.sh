for d in /usr/src/*/dkms.conf; do dkms add "${d%/dkms.conf}" >/dev/null 2>&1; done
dkms autoinstall -k $K >/run/out 2>&1
grep -E "would not load|not installed" /run/out
tail -3 /run/out
dkms verify | awk '{print $NF}' | sort | uniq -c
dkms verify | grep -v 'would load$' | head
python3 - <<'P'
import resource, subprocess
def once():
    b = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["dkms", "verify"], stdout=subprocess.DEVNULL)
    a = resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime - b.ru_utime + a.ru_stime - b.ru_stime
print("verify cpu ms", min(once() for _ in range(20)) * 1000)
P
