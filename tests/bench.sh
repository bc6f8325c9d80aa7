#!/bin/bash
# Ours against Debian's dkms and a bare make, all in one run, in private roots:
#
#   status           60 installed pairs of module and kernel, also against /bin/true
#   autoinstall-0    12 real packages, nothing to do
#   install-1        a package of one file, beyond bare make + depmod
#   autoinstall-12   12 real packages to build and install, against their makes one by one + depmod
#   memory           of dkms itself meanwhile
#   start            instructions of `status` on an empty tree against /bin/true (callgrind)
#
# Prints name, Debian's seconds, ours, and their ratio; the same lines go to build/bench/result.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${DKMS_TEST_BUILD:-$PWD/build}
dkms=${DKMS_BIN:-$PWD/target/release/dkms}
[[ -x $dkms ]] || { echo "no dkms at $dkms: make build"; exit 1; }
(($(id -u) == 0)) || { echo 'skipped: private roots need root'; exit 0; }
[[ -f $build/layers/image-6.1/stamp ]] || tests/fetch.sh
mkdir -p "$build/bench"

# The measurements, run inside a root with Debian's dkms as /usr/sbin/dkms and ours as /run/ours.
inside=$(mktemp)
trap 'rm -f "$inside"' EXIT
cat >"$inside" <<'INSIDE'
set -euo pipefail
. /e2e/prelude.sh
export HOME=/root LC_ALL=C.UTF-8
cd /root
debian=/usr/sbin/dkms ours=/run/ours

now() { date +%s%N; }
# The fastest of some runs, in milliseconds: best N COMMAND... (PREPARE runs before each, untimed)
best() {
    local n=$1 fastest=999999999 start took
    shift
    for ((; n > 0; n--)); do
        ${PREPARE:-true} >/dev/null 2>&1
        start=$(now)
        "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; exit 1; }
        took=$((($(now) - start) / 1000))
        ((took < fastest)) && fastest=$took
    done
    echo "$fastest"
}
show() { # NAME DEBIAN OURS, in microseconds
    awk -v n="$1" -v d="$2" -v o="$3" 'BEGIN { printf "%-16s Debian %9.1f ms   ours %9.1f ms   ours is %.2f of Debian\n", n, d / 1000, o / 1000, o / d }'
}

cp -r /run/src/. /usr/src/
packages=()
for conf in /run/src/*/dkms.conf; do
    $ours add "${conf%/dkms.conf}" >/dev/null 2>&1 || $ours add "/usr/src/$(basename "${conf%/dkms.conf}")" >/dev/null 2>&1 || true
done
while IFS=: read -r package _; do packages+=("$package"); done < <($ours status)
echo "packages: ${packages[*]}"
((${#packages[@]} == 12))
fixture single-1.0
$ours generate_mok >/dev/null

# bare make + depmod of the one-file package
bare() {
    rm -rf /root/bare && cp -r /usr/src/single-1.0 /root/bare
    make -s "-j$(nproc)" -C "/lib/modules/$K/build" M=/root/bare
    mkdir -p "/lib/modules/$K/updates/dkms"
    cp /root/bare/single.ko "/lib/modules/$K/updates/dkms/"
    depmod "$K"
}
fresh() { rm -rf "/lib/modules/$K/updates"; $ours remove single/1.0 --all; $ours add single/1.0; }
make_us=$(PREPARE=fresh best 3 bare)
install_d=$(PREPARE=fresh best 3 $debian install single/1.0 -k "$K")
install_o=$(PREPARE=fresh best 3 $ours install single/1.0 -k "$K")
printf '%-16s bare make + depmod %.1f ms\n' make-1 "$(awk "BEGIN { print $make_us / 1000 }")"
show install-1 "$install_d" "$install_o"
awk -v m="$make_us" -v d="$install_d" -v o="$install_o" \
    'BEGIN { printf "%-16s Debian %9.1f ms   ours %9.1f ms   beyond bare make + depmod\n", "install-1-extra", (d - m) / 1000, (o - m) / 1000 }'

$ours remove single/1.0 --all >/dev/null 2>&1 || true
clean() { local p; for p in "${packages[@]}"; do $ours unbuild "$p" -k "$K"; done; }
# Every package's own make command, as dkms would run it, where it would run it.
bare_all() {
    local p make dir
    for p in "${packages[@]}"; do
        dir=/var/lib/dkms/$p/build
        make=$($ours config "$p" -k "$K" 2>/dev/null | sed -n 's/^  "make": "\(.*\)",$/\1/p')
        rm -rf "$dir" && cp -r "/usr/src/${p/\//-}" "$dir"
        (cd "$dir" && eval "${make//\\\"/\"}")
        rm -rf "$dir"
    done
    depmod "$K"
}
clean >/dev/null 2>&1
bare_us=$(best 1 bare_all)
all_o=$(PREPARE=clean best 1 $ours autoinstall -k "$K")
clean >/dev/null 2>&1
all_d=$(best 1 $debian autoinstall -k "$K")
clean >/dev/null 2>&1
/usr/bin/env python3 - "$ours" "$K" <<'PYTHON'
# The most memory of dkms itself, without its children: VmHWM, looked at while it works.
import subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "autoinstall", "-k", sys.argv[2]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
most = 0
while p.poll() is None:
    try:
        most = max(most, *[int(l.split()[1]) for l in open(f"/proc/{p.pid}/status") if l.startswith("VmHWM")] or [0])
    except OSError:
        pass
    time.sleep(0.02)
print(f"memory           {most / 1024:.1f} MB in an autoinstall of 12 packages")
PYTHON
show autoinstall-12 "$all_d" "$all_o"
awk -v m="$bare_us" -v d="$all_d" -v o="$all_o" \
    'BEGIN { printf "%-16s %.1f ms; Debian is %.2f of it, ours %.2f\n", "makes+depmod", m / 1000, d / m, o / m }'
show autoinstall-0 "$(best 3 $debian autoinstall -k "$K")" "$(best 10 $ours autoinstall -k "$K")"

# 60 pairs: 12 packages, 5 kernels. What was built for one kernel is installed, with force, for four made-up ones.
for k in 2 3 4 5; do
    other=$K-copy$k
    mkdir -p "/lib/modules/$other"
    for p in "${packages[@]}"; do
        cp -r "/var/lib/dkms/$p/$K" "/var/lib/dkms/$p/$other"
        rm -f "/var/lib/dkms/$p/$other/$A/.manifest.json"
        sed "s/$K/$other/g; s/\"installed\":{.*}}*/\"installed\":null}/" "/var/lib/dkms/$p/$K/$A/.manifest.json" >"/var/lib/dkms/$p/$other/$A/.manifest.json"
        $ours install "$p" -k "$other" --force --no-depmod >/dev/null 2>&1
    done
done
$ours status | awk '/: installed/ { n++ } END { if (n != 60) { print "status shows " n " pairs instead of 60" > "/dev/stderr"; exit 1 } }'
show status "$(best 2 $debian status)" "$(best 30 $ours status)"
awk -v o="$(best 30 $ours status)" -v t="$(best 30 /bin/true)" 'BEGIN { printf "%-16s %.2f ms, /bin/true %.2f ms: %.1f times\n", "status", o / 1000, t / 1000, o / t }'

count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'; }
if command -v valgrind >/dev/null; then
    true_n=$(count /bin/true) empty_n=$(count $ours status --dkmstree /root/nothing) full_n=$(count $ours status)
    awk -v t="$true_n" -v e="$empty_n" -v f="$full_n" \
        'BEGIN { printf "%-16s /bin/true %d, status of an empty tree %d (%.1f times), of 60 pairs %d (%.1f times)\n", "instructions", t, e, e / t, f, f / t }'
fi
INSIDE

sources='mkdir run/src;'
for name in acpi-call bbswitch digimend dm-writeboost dpdk-kmods evdi langford nat-rtsp tp-smapi v4l2loopback vpoll xtrx; do
    sources+=" cp -r $build/corpus/$name-dkms/usr/src/. run/src/;"
done
# A root as the tests have it; process 1 runs the measurements instead of waiting.
setup=$(mktemp)
trap 'rm -f "$inside" "$setup"' EXIT
sed -e "s#echo ready; read -r _ || true#bash /run/inside#" \
    -e "s#^exec chroot#cp '$inside' run/inside; cp '$dkms' run/ours; $sources export K='$(<"$build/layers/headers-6.1/kernel")' A=x86_64; exec chroot#" \
    tests/root-setup.sh >"$setup"
layers=()
for name in dkms-debian headers-6.1 image-6.1; do layers+=("$build/layers/$name/root"); done
unshare --mount --pid --net --ipc --fork --kill-child --propagation private \
    bash "$setup" "$PWD/tests" "${layers[@]}" | tee "$build/bench/result.txt"
exit "${PIPESTATUS[0]}"
