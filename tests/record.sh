#!/bin/bash
# Run the steps of one scenario inside a private root and record, after each, what can be seen.
#
#   record.sh OUTDIR STEPDIR     STEPDIR/NN-NAME are scripts; K, K612, A are in the environment
#
# Written per step to OUTDIR/NN-NAME/: exit, stdout, stderr, status, tree, installed.
set -u
out=$1 steps=$2

# Type, mode, path, link target of everything dkms keeps, without what is ours alone (a leading dot)
# and without the contents of build directories, logs' sizes and keys.
tree() {
    [[ -d /var/lib/dkms ]] || return 0
    find /var/lib/dkms -mindepth 1 -name '.*' -prune -o -path '*/build/*' -prune -o \
        -printf '%y %m %P %l\n' | sed 's/ $//' | LC_ALL=C sort -k3
}

# path version vermagic signed stripped, for every module outside the kernel's own folder, and
# everything that lies where the kernel image has nothing.
installed() {
    local file field
    find /lib/modules/*/ \( -path '*/kernel' -o -name build -o -name source -o -name 'modules.*' \) -prune \
        -o ! -type d -print | LC_ALL=C sort | while read -r file; do
        case $file in
            *.ko*)
                field=$(modinfo -F version "$file" 2>/dev/null)
                printf '%s version=%s signer=%s debug=%s\n' "$file" "$field" \
                    "$(modinfo -F signer "$file" 2>/dev/null | sed 's/^DKMS.*/DKMS/')" "$(debug_sections "$file")"
                ;;
            *) printf '%s\n' "$file" ;;
        esac
    done
    # What changed in the kernel's own folder, against the list made before the first step. Of thousands of files (one
    # step empties the folder), the first ones, and a digest of the others.
    kernel_files | LC_ALL=C comm -3 /run/e2e-kernel - | sed 's/^\t/+ /; t; s/^/- /' >/run/e2e-changed
    head -n 50 /run/e2e-changed
    tail -n +51 /run/e2e-changed | grep -q . &&
        printf 'and %d more in kernel/: %s\n' $(($(wc -l </run/e2e-changed) - 50)) "$(tail -n +51 /run/e2e-changed | cksum)"
}

kernel_files() { find /lib/modules/*/kernel ! -type d 2>/dev/null | LC_ALL=C sort; }

debug_sections() { case $1 in *.ko) grep -qc '\.debug_info' "$1" && echo yes || echo no ;; *) echo - ;; esac; }

kernel_files >/run/e2e-kernel
for step in "$steps"/*; do
    name=${step##*/}
    mkdir -p "$out/$name"
    (
        cd /root || exit 97
        # shellcheck disable=SC2016  # for the inner shell
        timeout -k 5 "${STEP_SECONDS:-240}" bash -eu -c '. /e2e/prelude.sh; . "$1"' "$name" "$step" \
            >"$out/$name/stdout" 2>"$out/$name/stderr" </dev/null
        echo $? >"$out/$name/exit"
    )
    dkms status >"$out/$name/status" 2>/dev/null </dev/null
    tree >"$out/$name/tree"
    installed >"$out/$name/installed"
done
