#!/bin/bash
# Ours compared with Debian's dkms and a bare make, all in one run, in private roots:
#
#   status           of five kernels for each package (about 60 pairs), also against /bin/true
#   autoinstall-0    the real packages, nothing to do
#   install-1        a package of one file, beyond bare make + depmod
#   autoinstall      building and installing the real packages that build (11 of 12), against their makes, one
#                    after the other, and depmod
#   cached           autoinstall of the same packages, and install of one file, from the cache of builds
#   kernel_prerm     of the same packages: processor time
#   cached-1-xz      install of one file from the cache on a kernel whose modules are all .ko.xz, and depmod:
#                    processor time
#   registry         autoinstall of the same packages from a registry on loopback, and 200 clients at once
#   memory           of dkms alone meanwhile, BTF included
#   btf              the time that BTF in every module adds to autoinstall (the rows that compare have no BTF)
#   verify           the verdicts on all installed modules of one kernel, in processor time
#   speed            the same against the limit: one make with a jobserver over all packages' make commands
#   speed-2          for two kernels at once (autoinstall --all-kernels) against the sum of the two limits
#   instructions     of `--version`, and of `status` on an empty and a full tree, against /bin/true
#                    (callgrind)
#   timings          instructions of dkms for a build with the page of --timings, and without it
#   load             status, autoinstall and fsck with 100, 200 and 300 packages for three kernels: time and
#                    memory for each package
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
. /e2e/bench-registry.sh
. /e2e/bench-timings.sh
. /e2e/bench-xz.sh
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
# It would wait to be asked.
sed -i '$aAUTOINSTALL="yes"' /usr/src/lime-forensics-*/dkms.conf || true
for conf in /run/src/*/dkms.conf; do
    $ours add "/usr/src/$(basename "${conf%/dkms.conf}")" >/dev/null 2>&1 || true
done
$ours generate_mok >/dev/null
# Builds are compared, not hits; and the same work: neither Debian's dkms nor make adds BTF to these modules.
mkdir -p /etc/dkms/framework.conf.d
printf 'cache_size=0\nbtf=off\n' >/etc/dkms/framework.conf.d/compared.conf
# The same packages for both: those that Debian's dkms builds. This also warms the caches.
$debian autoinstall -k "$K" >/dev/null 2>&1 || true
while IFS=: read -r package state; do
    package=${package%%,*}
    if [[ $state == *installed* ]]; then
        packages+=("$package")
    else
        echo "left out: $package does not build for $K with Debian's dkms"
        $ours remove "$package" --all >/dev/null
    fi
done < <($ours status)
echo "packages: ${#packages[@]}: ${packages[*]}"
((${#packages[@]} >= 8))
fixture single-1.0

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
# A package's own make command, as dkms would run it.
make_line() { # PACKAGE KERNEL
    $ours config "$1" -k "$2" 2>/dev/null | sed -n 's/^  "make": "\(.*\)",$/\1/p' | sed 's/\\"/"/g'
}
# All of them, one by one, where dkms would run them.
bare_all() {
    local p dir
    for p in "${packages[@]}"; do
        dir=/var/lib/dkms/$p/build
        rm -rf "$dir" && cp -r "/usr/src/${p/\//-}" "$dir"
        (cd "$dir" && eval "$(make_line "$p" "$K")")
        rm -rf "$dir"
    done
    depmod "$K"
}
# The limit: one make with a job server over all of them, which limit_for prepares.
limit_for() { # KERNEL PACKAGE...
    local k=$1 p dir
    shift
    rm -rf /root/limit && mkdir /root/limit
    printf 'all:' >/root/limit/Makefile
    for p; do printf ' %s' "${p/\//-}" >>/root/limit/Makefile; done
    for p; do
        dir=/var/lib/dkms/$p/build
        rm -rf "$dir" && cp -r "/usr/src/${p/\//-}" "$dir"
        # Its own -jN would leave the job server.
        make_line "$p" "$k" | sed -E 's/(^| )-j *[0-9]*//g' >"/root/limit/${p/\//-}.sh"
        printf '\n.PHONY: %s\n%s:\n\t+cd %s && bash -e /root/limit/%s.sh\n' "${p/\//-}" "${p/\//-}" "$dir" "${p/\//-}" >>/root/limit/Makefile
    done
}
limit() { make "-j$(nproc)" -f /root/limit/Makefile all; }
limit_done() { local p; for p in "${packages[@]}"; do rm -rf "/var/lib/dkms/$p/build"; done; }
clean >/dev/null 2>&1
bare_us=$(best 1 bare_all)
all_o=$(PREPARE=clean best 2 $ours autoinstall -k "$K")
clean >/dev/null 2>&1
all_d=$(best 1 $debian autoinstall -k "$K")
clean >/dev/null 2>&1
limit_us=$(PREPARE="limit_for $K ${packages[*]}" best 2 limit)
limit_done
# With BTF, the default if pahole is installed: memory, and the additional time.
echo cache_size=0 >/etc/dkms/framework.conf.d/compared.conf
/usr/bin/env python3 - "$ours" "$K" <<'PYTHON'
# The most memory of dkms, without its children: VmHWM, read while it works.
import subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "autoinstall", "-k", sys.argv[2]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
most = 0
while p.poll() is None:
    try:
        most = max(most, *[int(l.split()[1]) for l in open(f"/proc/{p.pid}/status") if l.startswith("VmHWM")] or [0])
    except OSError:
        pass
    time.sleep(0.02)
print(f"memory           {most / 1024:.1f} MB in an autoinstall of all of them")
PYTHON
btf_o=$(PREPARE=clean best 2 $ours autoinstall -k "$K")
printf 'cache_size=0\nbtf=off\n' >/etc/dkms/framework.conf.d/compared.conf
$ours autoinstall -k "$K" >/dev/null
show "autoinstall-${#packages[@]}" "$all_d" "$all_o"
awk -v b="$btf_o" -v o="$all_o" 'BEGIN { printf "%-16s %.1f ms with BTF in every module (Debian adds none here): %.2f of the time without\n", "btf", b / 1000, b / o }'
awk -v m="$bare_us" -v d="$all_d" -v o="$all_o" \
    'BEGIN { printf "%-16s %.1f ms; Debian is %.2f of it, ours %.2f\n", "makes+depmod", m / 1000, d / m, o / m }'
awk -v m="$limit_us" -v d="$all_d" -v o="$all_o" \
    'BEGIN { printf "%-16s one make with a job server %.1f ms; Debian is %.2f of it, ours %.2f (asked: 1.15)\n", "speed", m / 1000, d / m, o / m }'
show autoinstall-0 "$(best 3 $debian autoinstall -k "$K")" "$(best 10 $ours autoinstall -k "$K")"
# The first command fills the cache.
rm /etc/dkms/framework.conf.d/compared.conf
clean >/dev/null 2>&1
$ours autoinstall -k "$K" >/dev/null
show "cached-${#packages[@]}" "$all_d" "$(PREPARE=clean best 3 $ours autoinstall -k "$K")"
again() { $ours remove single/1.0 --all || true; $ours add single/1.0; }
again >/dev/null 2>&1
$ours install single/1.0 -k "$K" >/dev/null
show cached-1 "$install_d" "$(PREPARE=again best 3 $ours install single/1.0 -k "$K")"
again >/dev/null 2>&1
printf '%-16s %s ms of processor time to install one module from the cache\n' cached-1-cpu "$(milliseconds $ours install single/1.0 -k "$K")"
$ours remove single/1.0 --all >/dev/null
$ours autoinstall -k "$K" >/dev/null
printf '%-16s %s ms of processor time for %d packages\n' kernel_prerm "$(milliseconds $ours kernel_prerm -k "$K")" "${#packages[@]}"
$ours autoinstall -k "$K" >/dev/null
registry_rows $ours "$all_d" "${packages[@]}"
printf 'cache_size=0\nbtf=off\n' >/etc/dkms/framework.conf.d/compared.conf

# Processor time of the verdicts on everything that is installed for one kernel.
python3 - "$ours" "$K" <<'PYTHON'
import json, resource, subprocess, sys
def once(*more):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([sys.argv[1], "verify", "-k", sys.argv[2], *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, out
modules = json.loads(once("--json")[1])["modules"]
size = sum(len(open(m["path"], "rb").read()) for m in modules)
lines = sum(1 for _ in open(f"/lib/modules/{sys.argv[2]}/build/Module.symvers"))
loads = sum(m["verdict"] == "loads" for m in modules)
print(f"verify           {min(once()[0] for _ in range(20)) * 1000:.1f} ms of processor time for {len(modules)} modules, "
      f"{size / 1e6:.1f} MB ({loads} would load), {lines} lines of Module.symvers (asked: 50 ms for 60)")
PYTHON

# Five kernels for each package: the builds for one kernel are installed, with force, for four fake ones.
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
pairs=$((${#packages[@]} * 5))
$ours status | awk -v want="$pairs" '/: installed/ { n++ } END { if (n != want) { print "status shows " n " pairs instead of " want > "/dev/stderr"; exit 1 } }'
show status "$(best 2 $debian status)" "$(best 30 $ours status)"
awk -v o="$(best 30 $ours status)" -v t="$(best 30 /bin/true)" 'BEGIN { printf "%-16s %.2f ms, /bin/true %.2f ms: %.1f times\n", "status", o / 1000, t / 1000, o / t }'

removed() { local p; for p in "${packages[@]}"; do $ours remove "$p" --all && $ours add "$p"; done; }
# Two kernels at once. For the second, only the packages that build for it.
speed_2() {
    local p second=() limit2_us both_us
    for ((p = 2; p <= 5; p++)); do rm -rf "/lib/modules/$K-copy$p"; done
    removed >/dev/null 2>&1
    $ours autoinstall --all-kernels --help >/dev/null 2>&1 || { echo 'speed-2: skipped, there is no --all-kernels'; return 0; }
    touch "/lib/modules/$K612/modules.dep" "/lib/modules/$K612"/modules.{order,builtin,builtin.modinfo}
    $ours autoinstall -k "$K612" >/dev/null 2>&1 || true
    for p in "${packages[@]}"; do
        if $ours status "$p" -k "$K612" | grep -q ': installed'; then
            second+=("$p")
        else
            echo "left out of the second kernel: $p"
            echo 'BUILD_EXCLUSIVE_KERNEL="^6\.1\."' >>"/etc/dkms/${p%/*}.conf"
        fi
    done
    limit2_us=$(PREPARE="limit_for $K612 ${second[*]}" best 2 limit)
    limit_done
    both_us=$(PREPARE=removed best 2 $ours autoinstall --all-kernels)
    awk -v a="$limit_us" -v b="$limit2_us" -v o="$both_us" -v n="${#packages[@]}" -v m="${#second[@]}" \
        'BEGIN { printf "%-16s %d + %d builds, the two limits %.1f ms; ours is %.2f of them (asked: 1.15)\n", "speed-2", n, m, (a + b) / 1000, o / (a + b) }'
}

count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'; }
if command -v valgrind >/dev/null; then
    true_n=$(count /bin/true) version_n=$(count $ours --version) empty_n=$(count $ours status --dkmstree /root/nothing) full_n=$(count $ours status)
    awk -v p="$pairs" -v t="$true_n" -v v="$version_n" -v e="$empty_n" -v f="$full_n" \
        'BEGIN { printf "%-16s /bin/true %d, --version %d (%.1f times), status of an empty tree %d (%.1f times), of %d pairs %d (%.1f times)\n", "instructions", t, v, v / t, e, e / t, p, f, f / t }'
fi
$ours add single/1.0 >/dev/null
timings_row $ours single/1.0
$ours remove single/1.0 --all >/dev/null
if [[ -n $K612 ]]; then speed_2; else echo 'speed-2: skipped, no second kernel with headers'; fi
rm /etc/dkms/framework.conf.d/compared.conf
$ours add single/1.0 >/dev/null
xz_row $ours
INSIDE

sources='mkdir run/src;'
for name in acpi-call bbswitch digimend dm-writeboost dpdk-kmods evdi librem-ec-acpi lime-forensics tp-smapi v4l2loopback vpoll xtrx; do
    if [[ ! -d $build/corpus/$name-dkms ]]; then
        echo "left out: the archive has no $name-dkms"
        continue
    fi
    sources+=" cp -r $build/corpus/$name-dkms/usr/src/. run/src/;"
done
registry=''
if [[ -x ${dkms%/*}/dkms-registry ]]; then
    registry="mkdir -p usr/libexec; cp '${dkms%/*}/dkms-registry' usr/libexec/;"
fi
layers=()
for name in dkms-debian headers-6.1 image-6.1 headers-6.12; do
    [[ ! -d $build/layers/$name/root ]] || layers+=("$build/layers/$name/root")
done
# A root as the tests have it; process 1 runs the measurements instead of waiting.
setup=$(mktemp)
trap 'rm -f "$inside" "$setup"' EXIT
sed "s#^pivot_root#cp '$inside' run/inside; cp '$dkms' run/ours; $registry $sources\npivot_root#" tests/root-setup.sh >"$setup"
K612=$(cat "$build/layers/headers-6.12/kernel" 2>/dev/null || true)
env A=x86_64 K="$(<"$build/layers/headers-6.1/kernel")" K612="$K612" E2E_RUN='bash /run/inside; exit $?' \
    unshare --mount --pid --net --ipc --fork --kill-child --propagation private \
    bash "$setup" "$PWD/tests" "${layers[@]}" | tee "$build/bench/result.txt"
((PIPESTATUS[0] == 0)) || exit 1
DKMS_BIN=$dkms tests/in-root.sh headers-6.1 python3 /e2e/load.py | tee -a "$build/bench/result.txt"
exit "${PIPESTATUS[0]}"
