# status: prints only its lines on stdout, runs no code; filters.
#: kernel 6.12
#: step empty 0
same "$(dkms status)" ""
#: step no-code-is-run 0 ours
fixture single-1.0
dkms add single/1.0
printf '\ntouch /run/executed\n' >>/usr/src/single-1.0/dkms.conf
rm -f /run/executed
dkms status >/dev/null
test ! -e /run/executed
#: step prepare 0
rm -rf /usr/src/single-1.0; fixture single-1.0 ver-1.9 ver-1.10
dkms add single/1.0 2>/dev/null || true
dkms install single/1.0 -k "$K"; dkms build single/1.0 -k "$K612"
dkms add ver/1.10; dkms add ver/1.9
#: step all-lines 0
same "$(dkms status)" "single/1.0, $K, $A: installed
single/1.0, $K612, $A: built
ver/1.10: added
ver/1.9: added"
#: step by-module 0
same "$(dkms status ver | wc -l)" 2
#: step by-version 0
same "$(dkms status -m ver -v 1.9)" "ver/1.9: added"
#: step by-kernel 0
same "$(dkms status -k "$K612" | grep -v added)" "single/1.0, $K612, $A: built"
#: step by-kernel-and-arch 0
same "$(dkms status -k "$K/$A" | grep -v added)" "single/1.0, $K, $A: installed"
#: step errors-not-on-stdout 0
same "$(dkms build nowhere/1.0 -k "$K" 2>/dev/null || true)" ""
#: step quiet 0
same "$(dkms status --quiet | wc -l)" 0
#: step without-proc-and-devfd 0
unshare -m bash -c 'umount -l /proc; umount -l /dev; dkms status' | grep -q '^single/1.0,'
#: step foreign-things-in-the-tree 0
touch /var/lib/dkms/stray-file
mkdir -p /var/lib/dkms/straydir "/var/lib/dkms/ver/1.9/.ours"
dkms status | grep -q '^ver/1.9: added'
