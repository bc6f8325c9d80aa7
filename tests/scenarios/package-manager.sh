# Under a package manager: plain lines even on a terminal; each failure is reported once, at the end, with its log.
#: step prepare 0
fixture single-1.0 multi-1.0 ver-1.9
dkms add single/1.0; dkms add multi/1.0; dkms add ver/1.9
cat >/root/on-a-terminal <<'S'
# How many lines with escapes a command shows on a terminal: bash on-a-terminal COMMAND...
TERM=xterm script -qec "$*" /dev/null >/run/shown </dev/null || true
grep -c $'\e' /run/shown
S
#: step a-live-view-for-people 0 ours
test "$(bash /root/on-a-terminal dkms build single/1.0 -k "$K" --force)" != 0
#: step lines-for-dumb-terminals-and-screen-readers 0 ours
sed 's/TERM=xterm/TERM=dumb/' /root/on-a-terminal >/root/on-a-dumb-terminal
same "$(bash /root/on-a-dumb-terminal dkms build single/1.0 -k "$K" --force)" 0
grep -q '^Built single/1.0' /run/shown
same "$(bash /root/on-a-terminal dkms build single/1.0 -k "$K" --force --plain)" 0
grep -q '^Built single/1.0' /run/shown
#: step plain-for-dpkg 0 ours
export DPKG_MAINTSCRIPT_PACKAGE=single-dkms DPKG_MAINTSCRIPT_NAME=postinst DPKG_RUNNING_VERSION=1.21
same "$(bash /root/on-a-terminal dkms build single/1.0 -k "$K" --force)" 0
grep -q '^Building single/1.0' /run/shown; grep -q '^Built single/1.0' /run/shown
#: step plain-for-hooks 0 ours
same "$(bash /root/on-a-terminal dkms kernel_postinst -k "$K")" 0
grep -q '^Built multi/1.0' /run/shown
#: step plain-below-programs-that-set-nothing 0 ours
# Shells by the names of package managers.
dkms unbuild multi/1.0 --all
for p in rpm pacman dnf zypper run-parts kernel-install apt-get; do
	cp /bin/bash "/run/$p"
	printf '%s\n' "bash /root/on-a-terminal dkms build multi/1.0 -k $K --force; true" >/run/script
	same "$p $("/run/$p" /run/script)" "$p 0"
done
#: step failure-once-at-the-end 0 ours
echo 'error here' >>/usr/src/multi-1.0/alpha/alpha.c
dkms unbuild multi/1.0 --all; dkms unbuild single/1.0 --all
code 0 env DPKG_MAINTSCRIPT_PACKAGE=x dkms kernel_postinst -k "$K" >/run/out 2>&1
same "$(grep -c 'failed (10)' /run/out)" 1
grep -A9 'failed (10)' /run/out | grep -q 'full output: .*make.log'
# After everything that succeeded.
test "$(grep -n 'failed (10)' /run/out | cut -d: -f1)" -gt "$(grep -n 'Installed .*single.ko' /run/out | cut -d: -f1)"
#: step quiet-stays-quiet 0 ours
same "$(DPKG_MAINTSCRIPT_PACKAGE=x dkms kernel_postinst -q -k "$K" 2>&1)" ""
#: step failing-build-runs-once-per-upgrade 0 ours
# The hooks of the image and of the headers, in one run of a package manager. What the compiler saw is counted.
printf '#!/bin/sh\necho run >>/run/builds\n' >/usr/src/multi-1.0/count.sh
chmod +x /usr/src/multi-1.0/count.sh
mkdir -p /etc/dkms/framework.conf.d
cat >/etc/dkms/framework.conf.d/unconfined.conf <<'C'
build_confinement=off
C
echo 'PRE_BUILD="count.sh"' >>/usr/src/multi-1.0/dkms.conf
builds() { local n; n=$(wc -l </run/builds); rm -f /run/builds; echo "$n"; }
declare -f builds >/run/functions
upgrade() { printf '%s\n' "$@" >/run/upgrade.sh; /run/apt-get /run/upgrade.sh >/run/out 2>&1; }
declare -f upgrade >>/run/functions
hook="dkms kernel_postinst -k $K || exit"
upgrade "$hook" 'echo second:' "$hook"
same "$(builds)" 1
sed '/^second:/,$d' /run/out | grep -q 'alpha.c:.*error'
sed '1,/^second:/d' /run/out >/run/second
grep -q 'multi/1.0 .*failed a moment ago' /run/second
grep -q 'full output: .*make-.*\.log' /run/second
same "$(grep -c 'alpha.c\|will start without' /run/second)" 0
grep -q alpha.c "$(sed -n 's/.*full output: //p' /run/second)"
test -s /var/lib/dkms/multi/1.0/build/make.log
#: step another-run-tries-again 0 ours
. /run/functions
upgrade "dkms kernel_postinst -k $K"
same "$(builds)" 1
#: step anything-changed-tries-again 0 ours
. /run/functions
hook="dkms kernel_postinst -k $K"
symvers=/usr/src/linux-headers-$K/Module.symvers
cp "$symvers" /run/symvers
upgrade "$hook" "sed -i '\$d' $symvers" "$hook"
same "$(builds)" 2
cat /run/symvers >"$symvers"
upgrade "$hook" 'touch /usr/bin/new-tool' "$hook"
same "$(builds)" 2
upgrade "$hook" 'echo "/* */" >>/usr/src/multi-1.0/alpha/alpha.c' "$hook"
same "$(builds)" 2
# A person who tries it again, even in the same run.
upgrade "$hook" "dkms install multi/1.0 -k $K; true"
same "$(builds)" 2
#: step fixed-meanwhile 0 ours
. /run/functions
upgrade "dkms kernel_postinst -k $K" "sed -i '/error here/d' /usr/src/multi-1.0/alpha/alpha.c" "dkms kernel_postinst -k $K"
same "$(builds)" 2
dkms status multi/1.0 -k "$K" | grep -q installed
test ! -e "/var/lib/dkms/multi/1.0/.log/failed-$K-$A.inputs"
#: step the-second-hook-fails-too-if-wanted 11 ours
. /run/functions
echo 'error here' >>/usr/src/multi-1.0/alpha/alpha.c
dkms unbuild multi/1.0 --all
echo 'hook_failure=fail' >/etc/dkms/framework.conf.d/hook.conf
rm -f /run/builds
printf '%s\n' "dkms kernel_postinst -k $K; test \$? = 11 || exit 90" "dkms kernel_postinst -k $K" >/run/upgrade.sh
/run/apt-get /run/upgrade.sh >/run/out 2>&1 || { rc=$?; same "$(builds)" 1; exit $rc; }
