#!/bin/bash
# Ours against Debian's dkms and a bare make, all in one run, in private roots:
#
#   status           60 installed pairs of module and kernel
#   autoinstall-0    12 packages, nothing to do
#   install-1        a package of one file, beyond bare make + depmod
#   autoinstall-12   12 packages to build and install, beyond their makes one by one
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

for i in $(seq 12); do
    cp -r /e2e/fixtures/single-1.0 "/usr/src/bench$i-1.0"
    sed -i "s/single/bench$i/g" "/usr/src/bench$i-1.0/dkms.conf" "/usr/src/bench$i-1.0/Kbuild"
    mv "/usr/src/bench$i-1.0/single.c" "/usr/src/bench$i-1.0/bench$i.c"
    $ours add "bench$i/1.0" >/dev/null
done
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

clean() { local i; for i in $(seq 12); do $ours unbuild "bench$i/1.0" -k "$K"; done; $ours remove single/1.0 --all; }
all_d=$(PREPARE=clean best 1 $debian autoinstall -k "$K")
all_o=$(PREPARE=clean best 2 $ours autoinstall -k "$K")
show autoinstall-12 "$all_d" "$all_o"
twelve() {
    local i
    for i in $(seq 12); do
        rm -rf /root/bare && cp -r "/usr/src/bench$i-1.0" /root/bare
        make -s "-j$(nproc)" -C "/lib/modules/$K/build" M=/root/bare
    done
    depmod "$K"
}
bare_us=$(best 1 twelve)
awk -v m="$bare_us" -v d="$all_d" -v o="$all_o" \
    'BEGIN { printf "%-16s %.1f ms; Debian is %.2f of it, ours %.2f\n", "make-12+depmod", m / 1000, d / m, o / m }'
show autoinstall-0 "$(best 3 $debian autoinstall -k "$K")" "$(best 5 $ours autoinstall -k "$K")"

# 60 pairs: 12 packages, 5 kernels. The other kernels are copies of what was installed, as far as status looks.
for k in 2 3 4 5; do
    mkdir -p "/lib/modules/$K-copy$k"
    cp -r "/lib/modules/$K/updates" "/lib/modules/$K-copy$k/"
    for i in $(seq 12); do
        cp -r "/var/lib/dkms/bench$i/1.0/$K" "/var/lib/dkms/bench$i/1.0/$K-copy$k"
        rm -f "/var/lib/dkms/bench$i/1.0/$K-copy$k/$A"/.manifest*
        ln -s "1.0/$K-copy$k/$A" "/var/lib/dkms/bench$i/kernel-$K-copy$k-$A"
    done
done
$ours status | awk '/installed/ { n++ } END { if (n != 60) { print "status shows " n " pairs instead of 60" > "/dev/stderr"; exit 1 } }'
show status "$(best 2 $debian status)" "$(best 20 $ours status)"

count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'; }
if command -v valgrind >/dev/null; then
    true_n=$(count /bin/true) empty_n=$(count $ours status --dkmstree /root/nothing) full_n=$(count $ours status)
    awk -v t="$true_n" -v e="$empty_n" -v f="$full_n" \
        'BEGIN { printf "%-16s /bin/true %d, status of an empty tree %d (%.1f times), of 60 pairs %d (%.1f times)\n", "instructions", t, e, e / t, f, f / t }'
fi
INSIDE

# A root as the tests have it; process 1 runs the measurements instead of waiting.
setup=$(mktemp)
trap 'rm -f "$inside" "$setup"' EXIT
sed -e "s#echo ready; read -r _ || true#bash /run/inside#" \
    -e "s#^exec chroot#cp '$inside' run/inside; cp '$dkms' run/ours; export K='$(<"$build/layers/headers-6.1/kernel")' A=x86_64; exec chroot#" \
    tests/root-setup.sh >"$setup"
layers=()
for name in dkms-debian headers-6.1 image-6.1; do layers+=("$build/layers/$name/root"); done
unshare --mount --pid --net --ipc --fork --kill-child --propagation private \
    bash "$setup" "$PWD/tests" "${layers[@]}" | tee "$build/bench/result.txt"
exit "${PIPESTATUS[0]}"
