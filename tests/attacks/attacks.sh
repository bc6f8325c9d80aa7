# shellcheck shell=bash
# Inside the private root of attacks::NAME: `attacks.sh NAME`. Each attack is a function of that name, and its
# comment says what the attacker tries.
# shellcheck disable=SC2317,SC2154,SC2016,SC2086 # a function is called by its name; the words have no blanks
failed=0
wrong() { printf 'WRONG: %s\n' "$*"; failed=1; }

# module NAME: a package with one module in /usr/src/NAME-1
module() {
    local dir=/usr/src/$1-1
    rm -rf "$dir" "/var/lib/dkms/$1" "/etc/dkms/$1.conf"
    mkdir -p "$dir"
    printf 'obj-m := %s.o\n' "$1" >"$dir/Makefile"
    printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' >"$dir/$1.c"
    printf 'PACKAGE_NAME=%s\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=%s\nDEST_MODULE_LOCATION=/extra\n' "$1" "$1" >"$dir/dkms.conf"
}
# conf NAME LINE...: more lines for its dkms.conf
conf() { local name=$1; shift; printf '%s\n' "$@" >>"/usr/src/$name-1/dkms.conf"; }
# after NAME COMMAND: MAKE builds, then runs this command in the build directory
# shellcheck disable=SC2016
after() { conf "$1" 'MAKE="make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build && sh ./after.sh"'; printf '%s\nexit 0\n' "$2" >"/usr/src/$1-1/after.sh"; }
build() { timeout 120 dkms build "$1/1" -k "$K" >/run/out 2>&1; }
# code WANTED COMMAND...
code() { local want=$1 got=0; shift; "$@" || got=$?; [[ $got == "$want" ]] || wrong "exit code $got instead of $want: $* ($(grep -m1 error /run/out))"; }
says() { grep -q -- "$1" /run/out || wrong "nothing about '$1' in: $(head -c 600 /run/out)"; }

build_typing() { # A build types a command into the administrator's terminal.
    module typing
    # shellcheck disable=SC2016
    after typing 'perl -e '\''open T, "+</dev/tty" or exit; ioctl(T, 0x5412, $_) for split //, "touch /run/typed\n"'\'
    rm -f /run/typed
    python3 /e2e/attacks/terminal.py "dkms build typing/1 -k $K >/run/out 2>&1" >/dev/null
    [[ ! -e /run/typed ]] || wrong 'the command ran'
    [[ $(dkms status typing) == *built ]] || wrong "not built: $(tail -n 3 /run/out)"
}

script_reads_terminal() { # PRE_BUILD asks for a password on the administrator's terminal.
    module asking
    conf asking 'PRE_BUILD=ask.sh'
    printf '#!/bin/sh\nexec 3<>/dev/tty || exit 0\nread x <&3\necho "stolen:$x" >&3\n' >/usr/src/asking-1/ask.sh
    chmod 755 /usr/src/asking-1/ask.sh
    python3 /e2e/attacks/terminal.py "dkms build asking/1 -k $K" hunter2 >/run/out
    ! grep -q stolen /run/out || wrong 'what was typed was read'
}

build_keys() { # A build reads a key of root's session keyring, or makes one there.
    module keys
    after keys "python3 keys.py >keys.out"
    cat >/usr/src/keys-1/keys.py <<'P'
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("key" if libc.syscall(250, 10, -3, b"user", b"attack-secret", 0) > 0 else "none")
print("added" if libc.syscall(248, b"user", b"planted", b"x", 1, -3) > 0 else "refused")
P
    conf keys 'POST_BUILD="show.sh"'
    printf '#!/bin/sh\ncat keys.out\n' >/usr/src/keys-1/show.sh; chmod 755 /usr/src/keys-1/show.sh
    python3 - >/run/out 2>&1 <<P
import ctypes, subprocess
libc = ctypes.CDLL(None)
libc.syscall(250, 1, None)
libc.syscall(248, b"user", b"attack-secret", b"secret", 6, -3)
subprocess.run(["dkms", "build", "keys/1", "-k", "$K"])
P
    grep -qx none "/var/lib/dkms/keys/1/$K/x86_64/log/make.log" || wrong 'the key was found'
    grep -qx refused "/var/lib/dkms/keys/1/$K/x86_64/log/make.log" || wrong 'a key was added'
}

private_key_and_homes() { # A build reads the signing key, /root, a user's home, /etc/shadow.
    module reader
    dkms generate_mok >/dev/null 2>&1
    mkdir -p /root/.ssh /home/user; echo secret >/root/.ssh/id; echo secret >/home/user/notes; chmod 755 /root /root/.ssh /home/user
    after reader 'cat /var/lib/dkms/mok.key /root/.ssh/id /home/user/notes /etc/shadow; ls -A /root /home'
    code 0 build reader
    local log=/var/lib/dkms/reader/1/$K/x86_64/log/make.log
    ! grep -qE 'PRIVATE KEY|^secret|^root:|^user$|^\.ssh$' "$log" || wrong "it was read: $(grep -E 'PRIVATE|secret|^root:' "$log")"
}

leftovers() { # A build leaves processes, temporary files, shared memory or a message queue behind.
    module leaver
    local token=attack-$RANDOM
    after leaver "(trap '' TERM INT HUP; exec -a $token setsid sleep 300) >/dev/null 2>&1 & for d in /tmp /var/tmp /dev/shm; do echo x >\$d/$token; done; python3 -c 'import ctypes; print(\"segment\", ctypes.CDLL(None).shmget(0x5eed, 4096, 0o1666))'"
    local before; before=$(ipcs -m 2>/dev/null | wc -l)
    code 0 build leaver
    [[ -z $(find /tmp /var/tmp /dev/shm -name "$token") ]] || wrong 'files are left'
    ! pgrep -f "$token" >/dev/null || wrong 'a process is left'
    [[ $(ipcs -m 2>/dev/null | wc -l) == "$before" ]] || wrong 'a shared memory segment is left'
}

writes_elsewhere() { # A build writes into /usr/src, /lib/modules, /etc or another package's files.
    module writer; module victim
    code 0 build victim
    local file
    for file in /usr/src/planted "/lib/modules/$K/planted.ko" /etc/cron.d/planted "/var/lib/dkms/victim/1/$K/x86_64/module/victim.ko" /var/lib/dkms/planted; do
        module writer
        # shellcheck disable=SC2016
        conf writer "MAKE=\"echo x >$file\""
        code 10 build writer
        says "CONFINE_WRITE=\"${file%/*}\" in /etc/dkms/writer.conf"
        [[ $file == *victim.ko || ! -e $file ]] || wrong "$file is there"
    done
    [[ $(stat -c %s "/var/lib/dkms/victim/1/$K/x86_64/module/victim.ko") -gt 100 ]] || wrong 'another package was changed'
    [[ -z $(find /var/lib/dkms/writer /usr/src/writer-1 ! -uid 0) ]] || wrong 'files of the build user are left'
    # It works if it is allowed as the error suggests.
    module writer; after writer 'echo x >/usr/src/allowed'
    echo 'CONFINE_WRITE="/usr/src"' >/etc/dkms/writer.conf
    code 0 build writer
    [[ -e /usr/src/allowed ]] || wrong 'CONFINE_WRITE does not help'
    rm -f /usr/src/allowed /etc/dkms/writer.conf
}

network() { # A build reaches the network, by a connection or through io_uring, vsock or netlink.
    # The private root's own loopback interface: SIOCSIFFLAGS, IFF_UP and IFF_RUNNING.
    python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41))'
    python3 -c 'import socket,time
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 18765)); s.listen()
time.sleep(60)' & local listener=$!
    sleep 0.5
    module online
    conf online 'MAKE="bash -c '\''exec 3<>/dev/tcp/127.0.0.1/18765'\''"'
    code 10 build online
    says 'CONFINE_NETWORK=yes in /etc/dkms/online.conf'
    module online
    after online 'python3 -c "
import ctypes, socket
libc = ctypes.CDLL(None)
print(\"sockets\", [f for f in (16, 17, 38, 40) if libc.socket(f, 2, 0) >= 0], \"io_uring\", libc.syscall(425, 4, None))"; bash -c "exec 3<>/dev/tcp/127.0.0.1/18765" && echo connected'
    code 0 build online
    grep -q '^sockets \[\] io_uring -1$' "/var/lib/dkms/online/1/$K/x86_64/log/make.log" || wrong "$(grep ^sockets "/var/lib/dkms/online/1/$K/x86_64/log/make.log")"
    ! grep -qx connected "/var/lib/dkms/online/1/$K/x86_64/log/make.log" || wrong 'connected'
    dkms remove online/1 --all >/dev/null 2>&1
    echo CONFINE_NETWORK=yes >/etc/dkms/online.conf
    # shellcheck disable=SC2016  # for the script
    after online 'echo "proxy is $https_proxy"; bash -c "exec 3<>/dev/tcp/127.0.0.1/18765" && echo connected'
    https_proxy=http://proxy.example:3128 code 0 build online
    grep -qx 'proxy is http://proxy.example:3128' "/var/lib/dkms/online/1/$K/x86_64/log/make.log" || wrong 'the build does not know the proxy'
    grep -qx connected "/var/lib/dkms/online/1/$K/x86_64/log/make.log" || wrong 'CONFINE_NETWORK=yes does not help'
    kill $listener; rm /etc/dkms/online.conf
}

results() { # A build leaves a link, a fifo, a hard link, another user's file or a directory where its results should be.
    local ko=odd.ko attack
    echo top-secret >/etc/canary; chmod 600 /etc/canary
    for attack in 'ln -sf /etc/canary Module.symvers' 'rm -f Module.symvers; mkfifo Module.symvers' 'rm -f Module.symvers; mkdir Module.symvers' \
        "mv $ko x; ln -s /etc/canary $ko" "mv $ko x; ln -s x $ko" "rm $ko; mkfifo $ko" "rm $ko; mkdir $ko" "ln $ko second" "mv $ko x; ln -s /usr/src/odd-1/odd.c $ko"; do
        module odd; after odd "$attack"
        code 7 build_odd "$attack"
        ! dkms status odd | grep -q built || wrong "$attack: it was built"
        ! grep -rqs top-secret /var/lib/dkms/odd || wrong "$attack: the file was copied"
    done
    module odd; after odd 'rm -f make.log; ln -s /etc/canary make.log'
    code 0 build odd
    ! grep -rqs top-secret /var/lib/dkms/odd || wrong 'make.log: the file was copied'
    module odd; after odd 'rm -f make.log; ln -s /etc/canary make.log; exit 1'
    code 10 build odd
    [[ $(cat /etc/canary) == top-secret ]] || wrong 'make.log: root wrote through the link'
    # A directory of the sources, swapped for a link out.
    module odd; conf odd 'BUILT_MODULE_LOCATION=sub'
    after odd 'mkdir sub; cp odd.ko sub/; mv sub old; ln -s /run sub'; cp /etc/canary /run/odd.ko
    code 7 build_odd 'a directory swapped for a link'
}
build_odd() { build odd; local rc=$?; [[ $rc == 1 ]] && rc=7; return $rc; }

post_build_results() { # POST_BUILD replaces what was checked and signed, or leaves a link; headers that it adds are kept.
    module poster
    conf poster 'POST_BUILD="post.sh $kernelver"'
    cat >/usr/src/poster-1/post.sh <<'P'
#!/bin/sh
cd "/var/lib/dkms/poster/1/$1/x86_64" || exit 1
cp /usr/src/poster-1/poster.c module/poster.ko 2>/dev/null; rm -f .manifest.json; mv module gone 2>/dev/null
echo '#define CONFIGURED' >configured.h; mkdir -p include; echo more >include/more.h
P
    chmod 755 /usr/src/poster-1/post.sh
    code 0 build poster
    local made=/var/lib/dkms/poster/1/$K/x86_64
    [[ -e $made/configured.h && -e $made/include/more.h ]] || wrong 'the headers were not kept'
    [[ $(stat -c %u "$made/configured.h") == 0 ]] || wrong 'they are not root'"'"'s'
    [[ $(stat -c %s "$made/module/poster.ko") -gt 2000 && -e $made/.manifest.json ]] || wrong 'what was checked was replaced'
    sed -i 's#^echo .*#ln -s /etc/shadow leak#' /usr/src/poster-1/post.sh
    dkms remove poster/1 --all >/dev/null 2>&1
    build poster && wrong 'a link was accepted'
    ! dkms status poster | grep -q built || wrong 'it was built'
}

policy() { # A package chooses its own policy, or a misspelt policy is silently ignored.
    module chooser; conf chooser 'CONFINE=off' 'CONFINE_WRITE=/etc'; after chooser 'echo x >/etc/planted'
    code 0 build chooser
    [[ ! -e /etc/planted ]] || wrong 'the package switched its confinement off'
    local line
    for line in 'CONFINE_WRTE=/srv' 'CONFINE_WRITE=srv' 'CONFINE_WRITE=/srv/../etc' 'CONFINE=maybe' 'CONFINE_NETWORK=1' 'CONFINE_HOME=yes'; do
        module chooser
        printf '# policy\n%s\n' "$line" >/etc/dkms/chooser.conf
        code 8 build chooser
        says '/etc/dkms/chooser.conf:2:'
    done
    rm -f /etc/dkms/chooser.conf
    echo 'someone:x:64210:64210::/:/bin/sh' >>/etc/passwd
    for line in build_confinement=maybe build_users=64200-64455 build_users=0-10 build_users=x; do
        printf '\n%s\n' "$line" >/etc/dkms/framework.conf
        code 8 build chooser
        says '/etc/dkms/framework.conf:2:'
    done
    sed -i '/^someone:/d' /etc/passwd; rm /etc/dkms/framework.conf
    module chooser; after chooser 'echo x >/etc/planted'; echo CONFINE=off >/etc/dkms/chooser.conf
    code 0 build chooser
    [[ -e /etc/planted ]] || wrong 'the administrator cannot switch it off'
    rm -f /etc/planted /etc/dkms/chooser.conf
}

limits() { # A dkms.conf uses all memory, processes, disk or time: it is ended soon, and the error names the limit.
    local name start
    # shellcheck disable=SC2016
    declare -A greedy=(
        [memory]='X=$(for i in 1 2 3 4; do head -c 600000000 /dev/zero | tail >/dev/null & done; wait)'
        [processes]='X=$(for i in $(seq 1 1000); do sleep 20 & done; wait)'
        [time]='X=$(sleep 60)'
        [disk]='X=$(for i in $(seq 1 200); do head -c 8000000 /dev/zero >$HOME/$i || exit; done)'
    )
    for name in "${!greedy[@]}"; do
        module greedy; conf greedy "${greedy[$name]}"
        start=$SECONDS
        timeout 60 dkms add greedy/1 >/run/out 2>&1 && wrong "$name: accepted"
        ((SECONDS - start < 40)) || wrong "$name: took $((SECONDS - start)) s"
        case $name in
            memory) says 'MiB of memory' ;;
            processes) grep -qE 'processes|create a process' /run/out || wrong "$name: $(cat /run/out)" ;;
            time) says 'did not end within' ;;
            disk) says 'it wrote more than' ;;
        esac
        ! pgrep -x sleep -u 64200-64455 >/dev/null 2>&1 || wrong "$name: processes are left"
    done
}

injection() { # Processes of the user nobody and of build users write into the evaluation of another file.
    local user attackers=()
    module good
    # shellcheck disable=SC2016
    conf good 'V=$(uname -r; sleep 0.5)'
    printf '#!/bin/sh\ntouch /run/owned\n' >/tmp/pwn.sh; chmod 755 /tmp/pwn.sh
    for user in 65534 64200 64201; do
        setpriv --reuid=$user --regid=$user --clear-groups python3 /e2e/attacks/inject.py & attackers+=($!)
    done
    sleep 0.5
    timeout 60 dkms add good/1 >/run/out 2>&1
    kill "${attackers[@]}"; wait "${attackers[@]}" 2>/dev/null
    [[ ! -e /run/owned ]] || wrong 'a directive was written into the evaluation'
    [[ $(dkms status good) == 'good/1: added' ]] || wrong "not added: $(cat /run/out)"
}

# The user of the last build of a module that prints it.
build_user() { grep -xE '[0-9]+' "/var/lib/dkms/$1/1/$K/x86_64/log/make.log" | tail -n 1; }

build_users() { # A service of systemd gets the user of a build, or a build that of a service.
    local lock=/run/systemd/dynamic-uid service user
    module who; after who 'id -u'
    mkdir -p /run/systemd/system
    # Where builds may have two users, a service has one, and then no service has it.
    echo 'build_users=64300-64301' >/etc/dkms/framework.conf
    mkdir -p $lock
    exec {service}>$lock/64300
    flock --nonblock $service || wrong 'the lock of the service is not free'
    for _ in 1 2 3; do
        code 0 dkms build who/1 -k "$K" --force --no-cache >/run/out 2>&1
        [[ $(build_user who) == 64301 ]] || wrong "the build was user $(build_user who), and a service has 64300"
    done
    exec {service}>&-
    rm -r $lock
    # The ID of a running build is locked; afterwards no lock is left.
    module slow; after slow 'id -u; sleep 3'
    build slow & user=''
    for _ in {1..200}; do
        user=$(find $lock -type f -printf '%f\n' 2>/dev/null | head -n 1)
        [[ -z $user || ! -s $lock/$user ]] || ! flock --nonblock "$lock/$user" true || { wrong 'its lock is not held'; break; }
        [[ -d /var/lib/dkms/slow/1/build ]] && [[ -n $user ]] && break
        sleep 0.1
    done
    wait
    [[ $user == 6430[01] ]] || wrong "no lock of the build: '$user'"
    [[ $(ls $lock) == '' ]] || wrong "left: $(ls $lock)"
    # The users that the package declares come first, without such locks.
    rm /etc/dkms/framework.conf
    cp /etc/passwd /run/passwd; cp /etc/group /run/group; cp /etc/shadow /run/shadow; cp /etc/gshadow /run/gshadow
    systemd-sysusers /packaging/sysusers/dkms.conf >/dev/null 2>&1 || wrong 'systemd-sysusers failed'
    code 0 dkms build who/1 -k "$K" --force --no-cache >/run/out 2>&1
    [[ $(id -nu "$(build_user who)") == _dkms-build-1 ]] || wrong "the build was user $(build_user who)"
    cp /run/passwd /etc/passwd; cp /run/group /etc/group; cp /run/shadow /etc/shadow; cp /run/gshadow /etc/gshadow
}

# Which parts are enforced in different places: each prints nothing, or exactly one line with the missing
# parts.
places() { # On machines that lack something, it is confined as far as possible, and one line names the rest.
    module anywhere
    after anywhere 'touch /usr/include/planted 2>/dev/null && echo written; touch /tmp/planted && echo private; bash -c "exec 3<>/dev/tcp/127.0.0.1/9" 2>&1 | grep -q refused && echo network; true'
    local log=/var/lib/dkms/anywhere/1/$K/x86_64/log/make.log place
    # landlock 444; mount_setattr 442; unshare 272; keyctl 250
    declare -A lacking=(
        [everything]='' [no-landlock]=444 [no-mount-attributes]=442 [no-namespaces]='272!' [no-keys]='250!'
        [old-kernel]='444,442,437,434' [container]='272!,165!,250!' [nothing-of-it]='272!,165!,444,250!'
    )
    for place in "${!lacking[@]}"; do
        dkms remove anywhere/1 --all >/dev/null 2>&1
        local run=()
        [[ -z ${lacking[$place]} ]] || run=(python3 /e2e/attacks/without.py "${lacking[$place]}")
        "${run[@]}" dkms build anywhere/1 -k "$K" --no-cache >/run/out 2>&1 || wrong "$place: $(grep -m1 error /run/out)"
        ! grep -qx written "$log" || wrong "$place: it wrote into /usr/include"
        ! grep -qx network "$log" || wrong "$place: it reached the loopback interface"
        local lines; lines=$(grep -c 'not confined fully' /run/out)
        case $place in
            everything | no-landlock | no-mount-attributes | no-keys) ((lines == 0)) || wrong "$place: $(grep 'not confined' /run/out)" ;;
            *) ((lines == 1)) || wrong "$place: $lines lines name what is missing" ;;
        esac
        printf 'build_confinement=require\n' >/etc/dkms/framework.conf
        dkms remove anywhere/1 --all >/dev/null 2>&1
        local rc=0
        "${run[@]}" dkms build anywhere/1 -k "$K" >/run/out 2>&1 || rc=$?
        case $place in
            everything | no-landlock | no-mount-attributes | no-keys) ((rc == 0)) || wrong "$place: require refuses: $(grep -m1 error /run/out)" ;;
            # 8 where it is the evaluation that is refused.
            *) ((rc == 8 || rc == 10)) || wrong "$place: require ended with $rc" ;;
        esac
        rm /etc/dkms/framework.conf
    done
}

chroot_without_proc() { # In a chroot without /proc it is confined by its user, Landlock and seccomp, and says what is missing.
    # A directory, not a mount point, as chroots are.
    mkdir -p /srv/chroot
    cp -a --reflink=auto /bin /lib /lib64 /sbin /etc /srv/chroot/ 2>/dev/null
    mkdir -p /srv/chroot/{usr,var/lib/dkms,tmp,proc,dev,run}
    mount --rbind /usr /srv/chroot/usr
    mount --rbind /dev /srv/chroot/dev
    module inside; after inside 'touch /usr/include/planted 2>/dev/null && echo written; cat /etc/shadow && echo read'
    chroot /srv/chroot dkms build inside/1 -k "$K" >/run/out 2>&1 || wrong "$(grep -m1 error /run/out)"
    ! grep -qxE 'written|read' "/srv/chroot/var/lib/dkms/inside/1/$K/x86_64/log/make.log" || wrong 'it wrote or read too much'
    umount -R /srv/chroot/usr /srv/chroot/dev; rm -rf --one-file-system /srv/chroot
}

ordinary_user() { # An unprivileged user builds on a tree of theirs, in a user namespace, or where there is none without.
    local w=/srv/user option trees
    rm -rf $w; mkdir -p $w/{tree,mods,src}
    module mine
    after mine 'cat "$dkms_tree_of_mine/mok.key"'
    sed -i "s#\$dkms_tree_of_mine#$w/tree#" /usr/src/mine-1/after.sh
    cp -r /usr/src/mine-1 $w/src/; sed -i 's/^PACKAGE_VERSION.*/PACKAGE_VERSION=$(echo 1)/' $w/src/mine-1/dkms.conf
    mkdir $w/mods/"$K"; ln -s "/lib/modules/$K/build" $w/mods/"$K"/build; chown -R 12345:12345 $w
    trees=(--dkmstree "$w/tree" --sourcetree "$w/src" --installtree "$w/mods")
    for option in '' '272!' '272!,444'; do
        local run=()
        [[ -z $option ]] || run=(python3 /e2e/attacks/without.py "$option")
        rm -rf $w/tree/*
        setpriv --reuid=12345 --regid=12345 --clear-groups dkms generate_mok "${trees[@]}" >/dev/null 2>&1
        [[ -s $w/tree/mok.key ]] || wrong 'no key was made'
        setpriv --reuid=12345 --regid=12345 --clear-groups "${run[@]}" env HOME=$w dkms build mine/1 -k "$K" "${trees[@]}" >/run/out 2>&1 \
            || wrong "without ${option:-nothing}: $(grep -m1 error /run/out)"
        # Without namespaces and Landlock, dkms cannot hide files that the same user may read, and reports
        # that.
        [[ $option == *444* ]] || ! grep -qs 'PRIVATE KEY' "$w/tree/mine/1/$K/x86_64/log/make.log" || wrong "without ${option:-nothing}: the build read the key"
        [[ -e $w/tree/mine/1/$K/x86_64/module/mine.ko ]] || wrong "without ${option:-nothing}: not built"
    done
}

"$1"
exit "$failed"
