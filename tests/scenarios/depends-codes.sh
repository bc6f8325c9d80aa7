# The exit code of autoinstall for every combination of the states of a dependency and its dependent. The codes are those
# of dkms 3.4.3, except where a comment says otherwise.
#: step prepare 0 ours
cat >/root/make <<'S'
# bash make NAME VERSION KIND [DEPENDS]: a package that is fine, excluded, failing, or without AUTOINSTALL.
d=/usr/src/$1-$2; cp -r /e2e/fixtures/single-1.0 "$d"
sed -i "s/^PACKAGE_NAME=.*/PACKAGE_NAME=$1/; s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=$2/" "$d/dkms.conf"
sed -i "s/single/$1/g" "$d/Kbuild" "$d/dkms.conf"; mv "$d/single.c" "$d/$1.c"
case $3 in
excluded) echo BUILD_EXCLUSIVE_ARCH=none >>"$d/dkms.conf" ;;
failing) echo 'error here' >>"$d/$1.c" ;;
noauto) echo AUTOINSTALL=no >>"$d/dkms.conf" ;;
esac
[ -z "$4" ] || echo "BUILD_DEPENDS=($4)" >>"$d/dkms.conf"
dkms add "$1/$2" >/dev/null
S
cat >/root/case <<'S'
# bash case CODE DEPENDENCY DEPENDENT [STATUS OF DEPENDENT]
set -e
rm -rf /usr/src/*-[12] /var/lib/dkms/* "/lib/modules/$K/updates"
case $2 in
unknown) ;;
deferred) bash /root/make adep 1 fine ghost ;;
circle) bash /root/make adep 1 fine zdep ;;
excluded-circle) bash /root/make adep 1 excluded zdep ;;
older) bash /root/make adep 1 fine; dkms install adep/1 -k "$K" >/dev/null; bash /root/make adep 2 excluded ;;
*) bash /root/make adep 1 "$2" ;;
esac
bash /root/make zdep 1 "$3" adep
for action in autoinstall $only; do
	got=0; dkms $action -k "$K" >/run/out 2>&1 || got=$?
	[ $got = "$1" ] || { echo "$action: $2 $3: $got instead of $1"; cat /run/out; exit 1; }
done
if [ "$3" = excluded ]; then
	if grep -q 'failed ([0-9]*): zdep' /run/out; then cat /run/out; exit 1; fi
	grep -q 'Skipped zdep/1' /run/out
fi
dkms status zdep/1 -k "$K" | grep -q "${4:-added}"
S
#: step fine 0 ours
bash /root/case 0 fine fine installed; bash /root/case 0 fine excluded; bash /root/case 11 fine failing
#: step excluded 0 ours
bash /root/case 11 excluded fine; grep -q 'zdep/1.*adep/1, which is not meant for this kernel' /run/out
bash /root/case 0 excluded excluded; bash /root/case 11 excluded failing
#: step failing 0 ours
bash /root/case 11 failing fine; bash /root/case 11 failing excluded; bash /root/case 11 failing failing
#: step unknown 0 ours
bash /root/case 0 unknown fine; bash /root/case 0 unknown excluded; bash /root/case 0 unknown failing
#: step not-autoinstalled 0 ours
bash /root/case 11 noauto fine
# 3.4.3: 11. What is excluded needs no dependency.
bash /root/case 0 noauto excluded
#: step deferred 0 ours
# 3.4.3: 11 both times, as for one that failed. It may still come, though.
bash /root/case 0 deferred fine; bash /root/case 0 deferred excluded
#: step circles 0 ours
bash /root/case 11 circle fine
# The one that is not excluded fails, for want of the other.
bash /root/case 11 circle excluded; bash /root/case 11 excluded-circle fine
# 3.4.3: 11.
bash /root/case 0 excluded-circle excluded
#: step older-version-installed 0 ours
bash /root/case 0 older fine installed; bash /root/case 0 older excluded
#: step hook-goes-on 0 ours
only='' bash /root/case 0 excluded excluded; dkms kernel_postinst -k "$K"
#: step by-hand 0 ours
bash /root/case 11 noauto fine
code 13 dkms install zdep/1 -k "$K"; dkms install adep/1 -k "$K"; dkms install zdep/1 -k "$K"
bash /root/case 0 excluded excluded; code 77 dkms install zdep/1 -k "$K"; code 77 dkms build adep/1 -k "$K"
