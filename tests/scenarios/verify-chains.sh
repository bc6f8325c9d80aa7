# verify and install: which module provides a symbol, and with which taint. tests/vm/chains.py asks real kernels.
#: image
#: step made 0 ours
# package NAME: a package of the modules described on standard input, a line each: NAME LICENCE EXPORTS USES SOFTDEP
package() {
    local dir="/usr/src/$1-1.0" name licence exports uses softdep word n=0
    mkdir -p "$dir"
    printf 'PACKAGE_NAME=%s\nPACKAGE_VERSION=1.0\nAUTOINSTALL=yes\n' "$1" >"$dir/dkms.conf"
    printf 'MAKE="make -C ${kernel_source_dir} M=${dkms_tree}/%s/1.0/build KBUILD_MODPOST_WARN=1 modules"\n' "$1" >>"$dir/dkms.conf"
    while read -r name licence exports uses softdep; do
        {
            printf '#include <linux/module.h>\nMODULE_LICENSE("%s");\nMODULE_DESCRIPTION("A link of a chain");\n' "$licence"
            [[ -z $softdep ]] || printf 'MODULE_SOFTDEP("%s");\n' "$softdep"
            for word in ${exports//,/ }; do
                [[ $word == - ]] || printf 'int %s(void);\nint %s(void) { return 0; }\nEXPORT_SYMBOL(%s);\n' "$word" "$word" "$word"
            done
            for word in ${uses//,/ }; do
                [[ $word == - ]] || printf 'extern int %s(void);\nstatic void *use_%s __used = (void *)%s;\n' "$word" "$word" "$word"
            done
        } >"$dir/$name.c"
        echo "obj-m += $name.o" >>"$dir/Makefile"
        printf 'BUILT_MODULE_NAME[%d]=%s\nDEST_MODULE_LOCATION[%d]=/updates\n' $n "$name" $n >>"$dir/dkms.conf"
        n=$((n + 1))
    done
}
package lower <<'P'
dark Proprietary l_dark -
grey GPL l_grey l_dark
clear GPL l_clear debugfs_create_dir
P
package upper <<'P'
far GPL u_far l_grey
near GPL - u_far,debugfs_create_dir
fine GPL - l_clear,debugfs_create_dir pre: no_such_module
P
package circle <<'P'
round GPL c_round c_about
about GPL c_about c_round
P
package twice <<'P'
second GPL l_clear,t_second -
either GPL - t_second,l_clear
both GPL - t_second,u_far
P
#: step two-packages 1 ours
dkms install lower/1.0 -k "$K"
# The second package has no checksums of the symbols of the first, unless it is built with them.
sed -i "s,KBUILD_MODPOST_WARN=1,KBUILD_EXTRA_SYMBOLS=/var/lib/dkms/lower/1.0/$K/$A/module/Module.symvers &," /usr/src/upper-1.0/dkms.conf
dkms install upper/1.0 -k "$K" 2>/run/err
grep -q 'near.ko at present' /run/err
dkms verify -k "$K" >/run/out || rc=$?
for name in dark grey clear; do grep -qx "lower/1.0, $K, $A: $name would load" /run/out; done
for name in far fine; do grep -qx "upper/1.0, $K, $A: $name would load" /run/out; done
grep -q "^upper/1.0, $K, $A: near would not load" /run/out
exit "${rc:-0}"
#: step without-the-proprietary-one 1 ours
# What is tainted needs what is no longer there.
rm "/lib/modules/$K/updates/dkms/dark.ko"
depmod "$K"
dkms verify upper/1.0 -k "$K" --json >/run/v.json || rc=$?
python3 - /run/v.json <<'P' || exit 96
import json, sys
modules = {m["module"]: m for m in json.load(open(sys.argv[1]))["modules"]}
assert modules["fine"]["verdict"] == "loads", modules
[far] = [m for m in modules["far"]["reasons"] if m["code"] == "dependency-refused"]
assert "grey" in far["text"] and far["errno"] == "ENOENT", far
P
exit "${rc:-0}"
#: step two-that-need-each-other 6 ours
dkms remove upper/1.0 --all
dkms install circle/1.0 -k "$K" 2>/run/err || { rc=$?; grep -q 'neither can be loaded first' /run/err || exit 97; exit "$rc"; }
#: step and-nothing-is-there 0 ours
same "$(installed round)$(installed about)" ""
