# mktarball and ldtarball: round trips, refused archives, and archives whose entries leave the destination.
#: step not-added 3
dkms mktarball single/1.0 -k "$K"
#: step nothing-built 6
fixture single-1.0
dkms add single/1.0
dkms mktarball single/1.0 -k "$K"
#: step make-one 0
dkms build single/1.0 -k "$K"
dkms mktarball single/1.0 -k "$K"
#: step its-name 0
same "$(cd /var/lib/dkms/single/1.0/tarball && ls)" "single-1.0-kernel$K-$A.dkms.tar.gz"
#: step its-contents 0
tar tzf "/var/lib/dkms/single/1.0/tarball/single-1.0-kernel$K-$A.dkms.tar.gz" >/run/list
grep -q 'dkms_source_tree/dkms.conf$' /run/list
grep -q "dkms_main_tree/$K/$A/module/single.ko$" /run/list
#: step at-a-chosen-place 0
dkms mktarball single/1.0 -k "$K" --archive=/root/all.tar.xz
xz -t /root/all.tar.xz
#: step binaries-only 0
dkms mktarball single/1.0 -k "$K" --binaries-only --archive=/root/binaries.tar.gz
test -s /root/binaries.tar.gz
#: step source-only 0
dkms mktarball single/1.0 --source-only --archive=/root/source.tar.gz
! tar tzf /root/source.tar.gz | grep -q '\.ko$'
#: step load-already-added 8
dkms ldtarball --archive=/root/all.tar.xz
#: step load 0
dkms remove single/1.0 --all
rm -rf /usr/src/single-1.0
dkms ldtarball --archive=/root/all.tar.xz
same "$(dkms status)" "single/1.0, $K, $A: built"
test -f /usr/src/single-1.0/single.c
#: step load-source-only 0
dkms remove single/1.0 --all
rm -rf /usr/src/single-1.0
dkms ldtarball --archive=/root/source.tar.gz
same "$(dkms status)" "single/1.0: added"
#: step load-plain-source 0
dkms remove single/1.0 --all
rm -rf /usr/src/single-1.0
tar czf /root/plain.tar.gz -C /e2e/fixtures single-1.0
dkms ldtarball --archive=/root/plain.tar.gz
same "$(dkms status)" "single/1.0: added"
#: step add-by-archive 0
dkms remove single/1.0 --all
rm -rf /usr/src/single-1.0
dkms add /root/plain.tar.gz
#: step no-conf-inside 3
tar czf /root/noconf.tar.gz -C /etc hostname
dkms ldtarball --archive=/root/noconf.tar.gz
#: step bad-conf-inside 8
tar czf /root/badconf.tar.gz -C /e2e/fixtures badnodest-1.0
dkms ldtarball --archive=/root/badconf.tar.gz
#: step destination-is-no-folder 9
dkms mktarball single/1.0 --source-only --archive=/etc/hostname/x.tar.gz
#: step dots-stay-inside 0 ours
dkms remove single/1.0 --all
rm -rf /usr/src/single-1.0 /root/evil && mkdir -p /root/evil/dkms_source_tree
cp /e2e/fixtures/single-1.0/* /root/evil/dkms_source_tree/
cd /root/evil && echo owned >escaped
tar cPzf /root/evil.tar.gz --transform 's,^escaped,../../../../../../../../run/owned,' dkms_source_tree escaped
dkms ldtarball --archive=/root/evil.tar.gz || true
test ! -e /run/owned
#: step links-stay-inside 0 ours
cd /root/evil && rm -f escaped && ln -s /run dkms_source_tree/out
tar cPzf /root/evil2.tar.gz dkms_source_tree
mkdir x && echo owned >x/owned
tar czf /root/evil2.tar.gz dkms_source_tree --transform 's,^x/,dkms_source_tree/out/,' x/owned
dkms ldtarball --archive=/root/evil2.tar.gz || true
test ! -e /run/owned
#: step a-debian-package-is-an-archive-too 0 ours
dkms remove single/1.0 --all 2>/run/nothing || true
rm -rf /usr/src/single-1.0
fixture single-1.0
dkms build single/1.0 -k "$K"
dkms mkdeb single/1.0 -k "$K" --archive /root/both.deb
dkms mkdeb single/1.0 -k "$K" --binaries-only --archive /root/modules.deb
dkms mkdeb single/1.0 --source-only --archive /root/source.deb
dkms mkbmdeb single/1.0 -k "$K" --archive /root/bmdeb.deb
dkms remove single/1.0 --all && rm -r /usr/src/single-1.0
dkms ldtarball /root/source.deb
same "$(dkms status)" "single/1.0: added"
diff -r /usr/src/single-1.0 /e2e/fixtures/single-1.0
#: step it-is-in-the-tree-already 3 ours
dkms add /root/source.deb
#: step with-its-built-modules 0 ours
dkms remove single/1.0 --all && rm -r /usr/src/single-1.0
dkms add /root/both.deb
same "$(dkms status)" "single/1.0, $K, $A: built"
test -f /usr/src/single-1.0/single.c
#: step with-nothing-but-built-modules 0 ours
dkms remove single/1.0 --all && rm -r /usr/src/single-1.0
dkms install /root/modules.deb -k "$K"
same "$(installed single)$(ls /usr/src/single-1.0)" updates/dkms/single.kodkms.conf
#: step without-source 3 ours
dkms ldtarball /root/bmdeb.deb
#: step which-is-not-there 2 ours
dkms install /root/none.deb
#: step names-of-files-do-not-matter 0 ours
dkms mktarball single/1.0 --source-only --archive /root/source.tar.gz
for file in source.deb:source.zip source.tar.gz:source source.tar.gz:source.deb source.tar.gz:source.rpm source.deb:source.rpm; do
    dkms remove single/1.0 --all && rm -r /usr/src/single-1.0
    cp "/root/${file%:*}" "/run/${file#*:}"
    dkms ldtarball "/run/${file#*:}"
    same "$(dkms status)" "single/1.0: added"
    fixture single-1.0
done
#: step a-directory-is-no-archive 2 ours
dkms ldtarball --archive=/usr/src/single-1.0
#: step a-file-in-no-known-format 7 ours
echo 'some text' >/run/text.tar.gz
dkms add /run/text.tar.gz
#: step a-zip-archive-is-named-as-one 7 ours
printf 'PK\003\004rest' >/run/source.tar
dkms add /run/source.tar
#: step a-program-named-like-a-package-of-rpm 9 ours
cp /bin/true /run/true.rpm
dkms install /run/true.rpm
