# Paths, names and versions as people write them: '..' in a destination, links, versions that contain blanks.
#: image
#: step destination-with-dots 0 ours
for at in /kernel/../updates/ /kernel/../extra/x /updates/../updates /kernel/drivers/../../extra /extra/./y/..; do
	rm -rf /usr/src/single-1.0; fixture single-1.0; echo "DEST_MODULE_LOCATION=$at" >>/usr/src/single-1.0/dkms.conf
	dkms install single/1.0 -k "$K"
	same "$at: $(dkms status)" "$at: single/1.0, $K, $A: installed"
	same "$at: $(installed single)" "$at: updates/dkms/single.ko"
	dkms remove single/1.0 --all
	same "$at: $(installed single)" "$at: "
done
#: step that-leaves-the-kernel 0 ours
for at in /kernel/../../../../tmp/x /updates/../../x /kernel/.. /kernel/../build/x ../updates; do
	rm -rf /usr/src/single-1.0; fixture single-1.0; echo "DEST_MODULE_LOCATION=$at" >>/usr/src/single-1.0/dkms.conf
	code 8 dkms install single/1.0 -k "$K"; code 8 dkms add /usr/src/single-1.0
	dkms status | code 1 grep single; test ! -e /tmp/x
done
#: step where-the-distribution-has-no-place 0 ours
# There the destination is as written: normalised, as depmod and links know it.
rm -rf /usr/src/single-1.0; fixture single-1.0; echo 'DEST_MODULE_LOCATION=/kernel/../extra/x' >>/usr/src/single-1.0/dkms.conf
cp /etc/os-release /run/os; rm /etc/os-release; echo 'ID=other' >/etc/os-release
dkms install single/1.0 -k "$K"; same "$(installed single)" extra/x/single.ko
grep -q '^extra/x/single.ko' "/lib/modules/$K/modules.dep"
dkms uninstall single/1.0 -k "$K"; test ! -e "/lib/modules/$K/extra"
dkms remove single/1.0 --all; cp /run/os /etc/os-release
#: step versions-of-several-words 0 ours
# The first word of MODULE_VERSION counts.
rm -rf /usr/src/ver-*; fixture ver-1.9; sed -i 's/MODULE_VERSION(.*/MODULE_VERSION("1.9 (of May)");/' /usr/src/ver-1.9/ver.c
dkms install ver/1.9 -k "$K"; dkms status ver | grep -q ': installed$'
fixture_as ver-1.9 1.10; sed -i 's/MODULE_VERSION(.*/MODULE_VERSION("1.10 a later one");/' /usr/src/ver-1.10/ver.c
dkms install ver/1.10 -k "$K"; same "$(modinfo -k "$K" -F version ver)" "1.10 a later one"
dkms install ver/1.9 -k "$K" || true; same "$(modinfo -k "$K" -F version ver | cut -d' ' -f1)" "1.10"
dkms remove ver/1.9 --all; dkms remove ver/1.10 --all
#: step links 0 ours
# The source directory, and a tree, by a link; links among the sources, of which one leads nowhere.
rm -rf /usr/src/single-1.0; mkdir -p /srv/src; cp -r /e2e/fixtures/single-1.0 /srv/src/real; ln -s /srv/src/real /usr/src/single-1.0
mv /srv/src/real/single.c /srv/src/real/other.c; ln -s other.c /srv/src/real/single.c; ln -s nowhere /srv/src/real/README
dkms install single/1.0 -k "$K"; dkms status single | grep -q ': installed$'
dkms remove single/1.0 --all; test -L /usr/src/single-1.0; test -e /srv/src/real/single.c
mv /var/lib/dkms /srv/tree; ln -s /srv/tree /var/lib/dkms
dkms install single/1.0 -k "$K"; dkms status single | grep -q ': installed$'; dkms remove single/1.0 --all
rm /var/lib/dkms; mv /srv/tree /var/lib/dkms
ln -s /srv/src/real /root/link; rm /usr/src/single-1.0
dkms add /root/link; test -d /usr/src/single-1.0 -a ! -L /usr/src/single-1.0; dkms build single/1.0 -k "$K"
#: step no-remarks-for-users 0 ours
rm -rf /usr/src/multi-1.0; fixture multi-1.0; printf 'CLEAN="make clean"\nREMAKE_INITRD=no\n' >>/usr/src/multi-1.0/dkms.conf
dkms add multi/1.0 2>/run/err; test ! -s /run/err
dkms build multi/1.0 -k "$K" 2>/run/err; test ! -s /run/err
dkms config multi/1.0 | grep -q 'CLEAN is obsolete'
dkms lint /usr/src/multi-1.0 2>&1 | grep -q 'CLEAN is obsolete'
#: step headers-in-a-home-directory 0 ours
# As of a kernel of one's own, and divided as Debian does it. Other files of the home directory stay hidden.
rm -rf /usr/src/single-1.0; fixture single-1.0; home=/home/user/usr
mkdir -p $home/src $home/lib; cp -a "/usr/src/linux-headers-$K" "/usr/src/linux-headers-${K%-amd64}-common" $home/src
cp -a /usr/lib/linux-kbuild-6.1 $home/lib; sed -i "s,/usr/,$home/," "$home/src/linux-headers-$K/Makefile"
echo private >/home/user/notes; chmod 700 /home/user
ln -sfn "$home/src/linux-headers-$K" "/lib/modules/$K/build"
echo 'PRE_BUILD="s.sh"' >>/usr/src/single-1.0/dkms.conf
printf '#!/bin/sh\ncat /home/user/notes 2>&1 || true\n' >/usr/src/single-1.0/s.sh; chmod +x /usr/src/single-1.0/s.sh
dkms install single/1.0 -k "$K" --no-cache; same "$(installed single)" updates/dkms/single.ko
if grep -rs private /var/lib/dkms/single/1.0/*/*/log; then exit 1; fi
dkms remove single/1.0 --all; ln -sfn "/usr/src/linux-headers-$K" "/lib/modules/$K/build"; rm -r /home/user
