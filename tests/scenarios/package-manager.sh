# Under a package manager: plain lines although there is a terminal; a failure once, at the end, with its log.
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
