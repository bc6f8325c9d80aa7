#!/bin/bash
# Inside the private root of safe_boot::CASE: a machine does not boot a kernel that lacks its drivers.
# shellcheck source=/dev/null disable=SC2016
. /e2e/prelude.sh
set -eu
step() { echo "-- $*"; }
json() { python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
setting() { mkdir -p /etc/dkms/framework.conf.d; echo "$2" >"/etc/dkms/framework.conf.d/$1.conf"; }
# A version that does not compile.
broken() { # FIXTURE VERSION
    fixture_as "$1" "$2"
    echo '#error does not compile' >>"/usr/src/${1%-*}-$2/${1%-*}.c"
    dkms add "${1%-*}/$2" >/dev/null
}

# A kernel that `ready` accepts: it has an index, and modules need no signature.
whole_kernel() {
    mkdir -p "/lib/modules/$K/kernel"
    touch "/lib/modules/$K/modules."{order,builtin,builtin.modinfo}
    depmod "$K"
    setting sign try_sign_modules=false
}

fallback() {
    whole_kernel
    fixture single-1.0
    dkms add single/1.0 >/dev/null
    broken single-1.0 1.5
    broken single-1.0 2.0
    step 'without the setting, the newest version counts'
    code 11 dkms autoinstall -k "$K" >/run/out 2>&1
    same "$(dkms status -k "$K" | grep -c installed || true)" 0
    code 1 dkms ready -k "$K"
    step 'the plan'
    setting fallback fallback=yes
    dkms autoinstall -k "$K" --dry-run | tee /run/plan
    grep -q 'fall back to single/1.5 .*only if single/2.0 cannot be built' /run/plan
    grep -q 'fall back to single/1.0 .*only if single/1.5 cannot be built' /run/plan
    same "$(dkms autoinstall -k "$K" --dry-run --json | json '[s["instead_of"] for s in d["steps"] if s["step"] == "fallback"]')" \
        "['2.0', '1.5']"
    step 'the newest that builds is installed'
    dkms autoinstall -k "$K" >/run/out 2>&1 || { cat /run/out; false; }
    grep -q 'single/2.0 cannot be built for kernel .*; falling back to single/1.5 (fallback=yes)' /run/out
    grep -q 'single/1.5 cannot be built for kernel .*; falling back to single/1.0 (fallback=yes)' /run/out
    grep -q '1 in an older version (single/1.0 instead of 2.0)' /run/out
    same "$(dkms status single/1.0)" "single/1.0, $K, $A: installed (Fallback: 2.0 does not build)"
    same "$(dkms status single/1.0 --json | json 'd["entries"][0]["fallback_for"]')" 2.0
    dkms ready -k "$K" >/run/ready
    grep -q 'single/1.0 is installed instead of 2.0, which did not build .*(fallback=yes)' /run/ready
    grep -q 'is ready to be booted' /run/ready
    same "$(dkms ready -k "$K" --json | json '[c["remark"] for c in d["checks"] if "instead of" in c["what"]]')" '[True]'
    step 'again, nothing changes'
    dkms autoinstall -k "$K" --json 2>&1 | grep '"event":"summary"' >/run/summary
    same "$(json 'd["failed"], [f["version"] for f in d["fallbacks"]]' </run/summary)" "[] ['1.0']"
    dkms kernel_postinst -k "$K"
    step 'a version that builds replaces it'
    fixture_as single-1.0 3.0
    dkms add single/3.0 >/dev/null
    dkms autoinstall -k "$K" >/run/out 2>&1
    same "$(grep -c 'falling back' /run/out || true)" 0
    same "$(dkms status single/3.0)" "single/3.0, $K, $A: installed"
    same "$(dkms ready -k "$K" | grep -c instead || true)" 0
    dkms remove single/3.0 --all >/dev/null
    step 'dependents follow the version that builds; a kernel that the newest version does not support'
    dkms uninstall single/1.0 -k "$K" >/dev/null 2>&1 || true
    fixture depa-1.0 depb-1.0
    dkms add depa/1.0 >/dev/null
    dkms add depb/1.0 >/dev/null
    broken depa-1.0 9.0
    sed -i 's/^BUILD_EXCLUSIVE_KERNEL=.*//' /usr/src/single-2.0/dkms.conf
    echo 'BUILD_EXCLUSIVE_KERNEL="^1\."' >>/usr/src/single-2.0/dkms.conf
    dkms autoinstall -k "$K" >/run/out 2>&1 || { cat /run/out; false; }
    same "$(dkms status depb/1.0)" "depb/1.0, $K, $A: installed"
    grep -q 'falling back to depa/1.0' /run/out
    dkms status -k "$K" | grep -q '^single/1.0, .*: installed'
    step 'if no version builds, it is a failure'
    broken ver-1.9 2.0
    broken ver-1.9 2.1
    code 11 dkms autoinstall -k "$K" >/run/out 2>&1
    grep -q '2 failed' /run/out
}

# A signed repository of the packages in a directory, and an apt that knows only this repository. The file
# STATUS lists the installed packages. With "unsigned", the repository is signed with an untrusted key.
apt_root() { # DIRECTORY STATUS [unsigned]
    mkdir -p /run/repo /run/apt/{trusted.gpg.d,apt.conf.d,preferences.d,sources.list.d,auth.conf.d} /run/gnupg
    chmod 700 /run/gnupg
    export GNUPGHOME=/run/gnupg
    gpg --quiet --list-secret-keys "repo${3-}@example.org" >/run/keys 2>&1 ||
        gpg --quiet --batch --passphrase '' --quick-generate-key "repo${3-}@example.org" rsa2048 sign 2>/dev/null
    [[ ${3-} ]] || gpg --quiet --export >/run/apt/trusted.gpg.d/repo.gpg
    cp -n "$1"/linux-*.deb /run/repo/
    (
        cd /run/repo
        dpkg-scanpackages --multiversion . 2>/dev/null >Packages
        {
            printf 'Suite: stable\nCodename: stable\nDate: %s\nArchitectures: amd64 all\nComponents: main\nSHA256:\n' \
                "$(LC_ALL=C date -Ru)"
            printf ' %s %s Packages\n' "$(sha256sum <Packages | cut -d' ' -f1)" "$(stat -c %s Packages)"
        } >Release
        rm -f InRelease
        gpg --quiet --batch --local-user "repo${3-}@example.org" --clearsign --output InRelease Release
    )
    chmod -R a+rX /run/repo
    echo 'deb file:/run/repo ./' >/run/apt/sources.list
    printf '%s' "${2:+$2$'\n'}" >/run/apt/status
    cat >/run/apt/apt.conf <<'END'
Dir::Etc "/run/apt/";
Dir::Etc::trustedparts "/run/apt/trusted.gpg.d/";
Dir::State::status "/run/apt/status";
APT::Architecture "amd64";
APT::Update::Post-Invoke { "touch /run/hook-ran"; };
END
    export APT_CONFIG=/run/apt/apt.conf
    mkdir -p /var/lib/dpkg
    touch /var/lib/dpkg/status
}

# The packages of fetch.sh have two kernels of 6.1. In the newer one, a type that librem_ec_acpi uses has
# changed; the older one has no support for its hardware.
preflight() {
    local new=$K old
    old=$(find /run/in -name 'linux-headers-6.1.0-*-cloud-amd64_*' | sort -V | head -n1)
    old=${old##*/linux-headers-} old=${old%%_*}
    apt_root /run/in "Package: linux-image-cloud-amd64
Status: install ok installed
Version: 6.0
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Description: a kernel"
    dkms add librem_ec_acpi/0.9.1 >/dev/null
    fixture single-1.0
    dkms add single/1.0 >/dev/null
    echo 'POST_INSTALL=post.sh' >>/usr/src/single-1.0/dkms.conf
    printf '#!/bin/sh\ntouch /run/script-ran /tmp/script-ran\n' >/usr/src/single-1.0/post.sh
    chmod 755 /usr/src/single-1.0/post.sh
    find /var/lib/dkms /usr/src /lib/modules /var/lib/apt /var/cache/apt /etc | sort >/run/before

    step 'a kernel for which everything builds that it supports, and one for which one module does not'
    code 1 dkms preflight "$old" "$new" --verbose >/run/out 2>&1 || { cat /run/out; false; }
    grep -q "^Kernel $old would get its modules" /run/out
    grep -q "^Kernel $new would not get all modules that it needs" /run/out
    grep -q '^  librem_ec_acpi/0.9.1 does not build: .*make ended' /run/out
    grep -q '^  librem_ec_acpi/0.9.1 does not support it: .*CONFIG_HWMON' /run/out
    same "$(grep -c '^  single/1.0 builds' /run/out)" 2
    step 'nothing is left, and nothing of the system ran'
    find /var/lib/dkms /usr/src /lib/modules /var/lib/apt /var/cache/apt /etc | sort | diff /run/before -
    same "$(ls -d /tmp/dkms-preflight* /run/hook-ran /run/script-ran /tmp/script-ran 2>/dev/null || true)" ''
    step 'the answer for programs, also of the kernel that an upgrade would install'
    cat >/run/image.control <<END
Package: linux-image-$old
Version: 6.1
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Description: a kernel
END
    stub "$(cat /run/image.control)"
    stub "$(sed 's/^Package:.*/Package: linux-image-cloud-amd64/; /^Version/a Depends: linux-image-'"$old" /run/image.control)"
    apt_root /run/in "$(cat /run/apt/status)"
    dkms preflight --json >/run/json
    same "$(json 'd["answer"], d["manager"], [k["kernel"] for k in d["kernels"]]' </run/json)" "yes apt ['$old']"
    same "$(json '[(p["package"], p["state"]) for p in d["kernels"][0]["packages"]]' </run/json)" \
        "[('librem_ec_acpi', 'unsupported'), ('single', 'builds')]"
    step 'an unprivileged user'
    mkdir -m 777 /run/user
    (cd /run/user && TMPDIR=/run/user setpriv --reuid 1000 --regid 1000 --clear-groups dkms preflight "$old") | tee /run/out
    grep -q "^Kernel $old would get its modules" /run/out
    step 'a kernel that no repository offers'
    code 2 dkms preflight 9.9.9-amd64 >/run/out 2>&1
    grep -q 'Kernel 9.9.9-amd64 cannot be checked' /run/out
    code 2 dkms preflight ../../etc | grep -q 'is not the release of a kernel'
    step 'a repository whose signature is not trusted'
    rm -f /run/apt/trusted.gpg.d/*
    gpgconf --kill all # the agent of the directory that is removed
    rm -r /run/gnupg
    apt_root /run/in "$(cat /run/apt/status)" unsigned
    code 2 dkms preflight "$old" >/run/out 2>&1
    grep -q 'not signed\|NO_PUBKEY\|not available' /run/out
}

# Waits until a line is in the file of fake-login1.py that many times.
logged() { # LINE COUNT
    for _ in {1..100}; do
        [[ $(grep -cx "$1" /run/inhibitors) == "$2" ]] && return
        sleep 0.05
    done
    cat /run/inhibitors
    return 1
}

inhibitor() {
    fixture single-1.0
    # A build that takes some time.
    echo 'PRE_BUILD=wait.sh' >>/usr/src/single-1.0/dkms.conf
    printf '#!/bin/sh\nsleep 1\n' >/usr/src/single-1.0/wait.sh
    chmod 755 /usr/src/single-1.0/wait.sh
    step 'without a bus, or with one that says nothing, builds go on'
    dkms install single/1.0 -k "$K" --no-cache >/dev/null
    mkdir -p /run/dbus
    python3 -c 'import socket, time; s = socket.socket(socket.AF_UNIX); s.bind("/run/dbus/system_bus_socket"); s.listen(); time.sleep(60)' &
    silent=$!
    while [[ ! -S /run/dbus/system_bus_socket ]]; do sleep 0.05; done
    dkms build single/1.0 -k "$K" --force --no-cache >/dev/null
    kill "$silent"
    rm /run/dbus/system_bus_socket
    step 'logind'
    cat >/run/bus.conf <<'END'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy>
</busconfig>
END
    dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile &
    daemon=$!
    # The service ends with its bus.
    trap 'kill "$daemon"' EXIT
    while [[ ! -S /run/dbus/system_bus_socket ]]; do sleep 0.05; done
    touch /run/inhibitors
    python3 /e2e/fake-login1.py &
    logged ready 1
    step 'the lock is held during the build, and released after it'
    dkms build single/1.0 -k "$K" --force --no-cache >/dev/null &
    build=$!
    logged 'inhibit shutdown:sleep dkms block' 1
    same "$(grep -c released /run/inhibitors || true)" 0
    wait "$build"
    logged released 1
    step 'also if dkms is killed'
    dkms build single/1.0 -k "$K" --force --no-cache >/dev/null &
    build=$!
    logged 'inhibit shutdown:sleep dkms block' 2
    kill -KILL "$build"
    logged released 2
    wait "$build" || true
    step 'not if nothing is built'
    dkms build single/1.0 -k "$K" >/dev/null 2>&1
    logged 'inhibit shutdown:sleep dkms block' 2
}

# A kernel without headers.
new_kernel() { # RELEASE
    mkdir -p "/lib/modules/$1/kernel" /boot
    touch "/lib/modules/$1/modules."{order,builtin,builtin.modinfo} "/boot/vmlinuz-$1"
    depmod "$1"
}

hold_kernel() {
    local new=9.9.9-test grub=/etc/default/grub.d/zz-dkms-hold.cfg pin=/etc/apt/preferences.d/dkms-hold.pref
    whole_kernel
    fixture single-1.0
    dkms install single/1.0 -k "$K" >/dev/null
    new_kernel "$new"
    mkdir -p /etc/default/grub.d /etc/apt/preferences.d /usr/lib/dkms /etc/kernel/{postinst,install}.d
    printf '#!/bin/sh\necho x >>/run/update-grub.log\n' >/usr/sbin/update-grub
    chmod 755 /usr/sbin/update-grub
    cp /packaging/hooks/dkms_autoinstaller /usr/lib/dkms/
    cp /packaging/hooks/debian/postinst /etc/kernel/postinst.d/dkms
    mkdir -p /usr/lib/kernel/install.d
    cp /packaging/hooks/debian/install.d /usr/lib/kernel/install.d/40-dkms.install
    chmod 755 /usr/lib/dkms/dkms_autoinstaller /etc/kernel/postinst.d/dkms /usr/lib/kernel/install.d/40-dkms.install
    printf '#!/bin/sh\n[ "$1" != add ] || touch /run/entry\n' >/etc/kernel/install.d/95-entry.install
    chmod 755 /etc/kernel/install.d/95-entry.install
    echo layout=other >/etc/kernel/install.conf
    install_kernel() { rm -f /run/entry; kernel-install add "$1" "/boot/vmlinuz-$1" >/run/out 2>&1 || { cat /run/out; return 1; }; }

    step 'without the setting, kernel-install makes an entry'
    install_kernel "$new"
    [[ -e /run/entry && ! -e $grub ]]
    step 'kernel-install makes none, and grub keeps the kernel that has its modules'
    setting hold hold_kernel=yes
    install_kernel "$new"
    [[ ! -e /run/entry ]]
    grep -q "kernel $new is held back: it lacks single" /run/out
    # shellcheck source=/dev/null
    same "$(export GRUB_DEVICE_UUID=abc-1; . "$grub"; echo "$GRUB_DEFAULT")" "gnulinux-advanced-abc-1>gnulinux-$K-advanced-abc-1"
    # shellcheck source=/dev/null
    same "$(export GRUB_DEVICE=/dev/sda1 GRUB_DISABLE_UUID=true GRUB_DISABLE_SUBMENU=y; . "$grub"; echo "$GRUB_DEFAULT")" \
        "gnulinux-$K-advanced-/dev/sda1"
    code 77 dkms kernel_hold -k "$new" 2>/dev/null
    dkms kernel_hold -k "$K"
    same "$(spied update-grub)" 0
    step 'the hook of a package does not fail'
    /etc/kernel/postinst.d/dkms "$new" 2>/dev/null
    step 'when the module is not required any more, or is there, nothing is held'
    setting required required_modules=other
    install_kernel "$new"
    [[ -e /run/entry && ! -e $grub ]]
    rm /etc/dkms/framework.conf.d/required.conf
    install_kernel "$new"
    [[ -e $grub ]]
    ln -s "$(readlink -f "/lib/modules/$K/build")" "/lib/modules/$new/build"
    dkms install single/1.0 -k "$new" --force >/run/out 2>&1 || { cat /run/out; false; }
    [[ ! -e $grub ]]
    same "$(spied update-grub)" 1
    install_kernel "$new"
    [[ -e /run/entry ]]
    step 'apt'
    apt_root /run/in ''
    stub_kernel() { stub "Package: linux-image-$1
Version: 1
Architecture: amd64
Maintainer: nobody <nobody@example.org>
Description: a kernel"; }
    for one in 6.1.0-60-amd64 6.5.13-1-amd64 6.6.1-1-amd64 6.12.94+deb13-amd64 7.0.1-amd64; do stub_kernel "$one"; done
    apt_root /run/in ''
    mkdir -p /run/state /run/cache
    printf '%s\n' 'Dir::State::Lists "/run/state/";' 'Dir::Cache "/run/cache/";' 'Dir::Etc::preferencesparts "/etc/apt/preferences.d/";' \
        >>/run/apt/apt.conf
    sed -i /Post-Invoke/d /run/apt/apt.conf
    apt-get -qq update 2>/dev/null
    candidates() { # those that apt would install
        apt-cache pkgnames linux-image- | xargs apt-cache policy |
            awk '/^linux-image/ { name = $1 } $1 == "Candidate:" && $2 != "(none)" { print name }' | sort | tr '\n' ' '
    }
    all='linux-image-6.1.0-60-amd64: linux-image-6.12.94+deb13-amd64: linux-image-6.5.13-1-amd64: linux-image-6.6.1-1-amd64: linux-image-7.0.1-amd64: '
    same "$(candidates)" "$all"
    sed -i '$aBUILD_EXCLUSIVE_KERNEL_MAX=6.5.999' /usr/src/single-1.0/dkms.conf
    dkms status >/dev/null
    dkms kernel_hold -k "$K"
    grep -q 'single/1.0 supports kernels up to 6.5.999' "$pin"
    same "$(candidates)" 'linux-image-6.1.0-60-amd64: linux-image-6.5.13-1-amd64: '
    fixture_as single-1.0 2.0
    sed -i '$aBUILD_EXCLUSIVE_KERNEL_MAX=6.12.999' /usr/src/single-2.0/dkms.conf
    dkms add single/2.0 >/dev/null 2>&1
    same "$(candidates)" "${all%linux-image-7.0.1-amd64: }"
    sed -i /KERNEL_MAX/d /usr/src/single-2.0/dkms.conf
    dkms autoinstall -k "$K" >/dev/null 2>&1 || true
    [[ ! -e $pin ]]
    same "$(candidates)" "$all"
    step 'switched off, nothing is left'
    sed -i '$aBUILD_EXCLUSIVE_KERNEL_MAX=6.5.999' /usr/src/single-2.0/dkms.conf
    dkms kernel_hold -k "$K"
    [[ -e $pin ]]
    setting hold hold_kernel=no
    dkms kernel_hold -k "$K"
    [[ ! -e $pin ]]
}

# The menu of grub.cfg: the default, and whether it is the entry of a kernel. grub itself follows the
# identifiers like this.
grub_starts() { # KERNEL, or "first"
    grub-script-check /boot/grub/grub.cfg
    python3 - "$1" <<'END'
import re, sys
text = open("/boot/grub/grub.cfg").read()
default = re.search(r'^ *set default="(?!\$)(.*)"$', text, re.M).group(1)
entries, path = {}, []
for line in text.splitlines():
    found = re.match(r"\s*(menuentry|submenu) .*\$menuentry_id_option '([^']*)' \{", line)
    if found:
        path.append(found.group(2))
        entries[">".join(path)] = None
    elif line.strip() == "}" and path:
        path.pop()
    elif line.strip().startswith("linux") and path:
        entries[">".join(path)] = line.split("vmlinuz-")[1].split()[0]
wanted = sys.argv[1]
if wanted == "first":
    assert default == "0", default
else:
    assert entries.get(default) == wanted, (default, entries)
END
}

# Real grub-mkconfig, on a file system that grub supports.
grub() {
    local new=9.9.9-test disk=/run/disk option
    whole_kernel
    fixture single-1.0
    dkms install single/1.0 -k "$K" >/dev/null
    truncate -s 16M /run/disk.img
    mke2fs -q -t ext4 /run/disk.img
    mkdir -p $disk
    mount -o loop /run/disk.img $disk 2>/run/out || { echo "skipped: no loop device: $(cat /run/out)"; exit 77; }
    mkdir -p $disk/{boot/grub,usr,etc,proc,dev,sys,run,tmp,var,root}
    for dir in usr etc proc dev sys run var; do mount --rbind /$dir $disk/$dir; done
    for link in bin sbin lib lib64; do cp -a "/$link" $disk/; done
    mount --bind $disk/boot /boot
    # grub accepts a loop device only over a disk.
    mkdir -p /usr/local/sbin
    printf '#!/bin/sh\necho "$1: [1]:1 ($1)"\n' >/usr/local/sbin/losetup
    chmod 755 /usr/local/sbin/losetup
    # The commands of dkms and of packages of kernels, with the disk as the root.
    mv /usr/sbin/update-grub /usr/sbin/update-grub.real
    printf '#!/bin/sh\necho x >>/run/update-grub.log\nexec chroot %s /usr/sbin/update-grub.real\n' $disk >/usr/sbin/update-grub
    chmod 755 /usr/sbin/update-grub
    printf '%s\n' 'GRUB_DEFAULT=0' 'GRUB_TIMEOUT=5' 'GRUB_DISTRIBUTOR=Debian' >/etc/default/grub
    mkdir -p /etc/default/grub.d
    touch "/boot/vmlinuz-$K"
    new_kernel $new
    for kernel in "$K" $new; do echo "kernel $kernel" >"/boot/vmlinuz-$kernel"; echo x >"/boot/initrd.img-$kernel"; done

    step 'without the setting, grub starts the newest kernel'
    dkms kernel_hold -k $new
    update-grub 2>/run/out || { cat /run/out; false; }
    grep -q "vmlinuz-$new" /boot/grub/grub.cfg
    grub_starts first
    step 'with it, the newest that has its modules, in every form of the menu'
    setting hold hold_kernel=yes
    code 77 dkms kernel_hold -k $new 2>/dev/null
    for option in '' GRUB_DISABLE_SUBMENU=y GRUB_DISABLE_SUBMENU=yes GRUB_DISABLE_SUBMENU=true GRUB_DISABLE_UUID=true; do
        echo "$option" >/etc/default/grub.d/option.cfg
        update-grub 2>/run/out || { cat /run/out; false; }
        grub_starts "$K" || { echo "with '$option'"; false; }
    done
    rm /etc/default/grub.d/option.cfg /run/update-grub.log
    step 'the module arrives: dkms updates grub, which starts the newest again'
    ln -s "$(readlink -f "/lib/modules/$K/build")" "/lib/modules/$new/build"
    dkms install single/1.0 -k $new --force >/run/out 2>&1 || { cat /run/out; false; }
    same "$(spied update-grub)" 1
    grub_starts first
    step 'the module is removed: grub starts the other one'
    dkms uninstall single/1.0 -k $new >/run/out 2>&1
    update-grub 2>/run/out
    grub_starts "$K"
    umount /boot
}

# Fedora: real kernel-install, with a plugin before that of dkms which makes the entry and the default, and
# the initramfs after it.
bls() {
    local new=9.9.9-test plugins=/etc/kernel/install.d block=/boot/grub2/grubenv
    whole_kernel
    fixture single-1.0
    dkms install single/1.0 -k "$K" >/dev/null
    new_kernel $new
    touch "/boot/vmlinuz-$K"
    mkdir -p $plugins /boot/loader/entries /boot/grub2 /usr/lib/kernel/install.d /usr/lib/dkms
    rm -f /usr/lib/kernel/install.d/*
    ln -s grub-editenv /usr/bin/grub2-editenv
    grub2-editenv $block create
    echo layout=other >/etc/kernel/install.conf
    cat >$plugins/20-grub.install <<'END'
#!/bin/bash
entry=/boot/loader/entries/0123-$2.conf
[[ $1 == add ]] || exec rm -f "$entry"
printf '%s\n' "title Fedora ($2)" "version $2" "linux /vmlinuz-$2" >"$entry"
grub2-editenv /boot/grub2/grubenv set "saved_entry=0123-$2"
END
    printf '#!/bin/sh\n[ "$1" != add ] || touch "/boot/initramfs-$2.img"\n' >$plugins/50-dracut.install
    cp /packaging/hooks/redhat/install.d $plugins/40-dkms.install
    cp /packaging/hooks/{dkms_autoinstaller,headers_package} /usr/lib/dkms/
    chmod 755 $plugins/* /usr/lib/dkms/*
    install_kernel() { kernel-install add "$1" "/boot/vmlinuz-$1" >/run/out 2>&1 || { cat /run/out; return 1; }; }
    starts() { same "$(grub2-editenv $block list | sort | tr '\n' ' ')" "$1"; }

    step 'without the setting, the new kernel is the default'
    install_kernel "$K"
    install_kernel $new
    starts "saved_entry=0123-$new "
    step 'with it, the default stays; the entry and the initramfs are made'
    setting hold hold_kernel=yes
    rm "/boot/initramfs-$new.img"
    install_kernel $new
    grep -q "kernel $new lacks single, so the default entry of grub is 0123-$K" /run/out
    starts "dkms_entry_before=0123-$new dkms_held_entry=0123-$K saved_entry=0123-$K "
    [[ -e /boot/initramfs-$new.img && -e /boot/loader/entries/0123-$new.conf ]]
    # Repeat it.
    dkms kernel_hold -k $new
    starts "dkms_entry_before=0123-$new dkms_held_entry=0123-$K saved_entry=0123-$K "
    step 'the module arrives'
    ln -s "$(readlink -f "/lib/modules/$K/build")" "/lib/modules/$new/build"
    dkms install single/1.0 -k $new --force >/run/out 2>&1 || { cat /run/out; false; }
    starts "saved_entry=0123-$new "
    step 'the administrator chooses another one, which stays'
    dkms uninstall single/1.0 -k $new >/run/out 2>&1
    starts "dkms_entry_before=0123-$new dkms_held_entry=0123-$K saved_entry=0123-$K "
    grub2-editenv $block set "saved_entry=0123-$new"
    setting hold hold_kernel=no
    dkms kernel_hold -k $new
    starts "saved_entry=0123-$new "
}

boot_check() {
    local unit=/usr/lib/systemd/system/dkms-boot-check.service
    mkdir -p /usr/lib/systemd/system
    cp /packaging/systemd/dkms-boot-check.service "$unit"
    same "$(systemd-analyze verify --man=no "$unit" 2>&1 | grep dkms-boot || true)" ''
    grep -q '^RequiredBy=boot-complete.target' "$unit"
    code 2 dkms ready -k 9.9.9-test --loaded
}

# A package without files, in the repository.
stub() { # CONTROL
    mkdir -p /run/stub/DEBIAN
    echo "$1" >/run/stub/DEBIAN/control
    dpkg-deb --root-owner-group -b /run/stub "/run/repo/$(sed -n 's/^Package: //p' /run/stub/DEBIAN/control)_stub.deb" >/dev/null
}

# The packages of four kernels, of which the last two fail.
librem_ec_acpi() {
    local kernels code=0 found
    apt_root /run/in ''
    dkms add librem_ec_acpi/0.9.1 >/dev/null
    mapfile -t kernels < <(printf '6.1.0-%s-amd64\n' 53 54 55 56)
    dkms preflight "${kernels[@]}" --json >/run/json || code=$?
    found=$(json '*[k["packages"][0]["state"] for k in d["kernels"]]' </run/json)
    same "$code $found" '1 builds builds fails fails'
}

"$1"
