//! One tree, two programs: what Debian's dkms 3.0.10 left is taken over as it is, and what ours left is read by 3.0.10.

use dkms_tests::layers::{self, obstacle};
use dkms_tests::root::{Impl, Kernel, Root};

/// A root with Debian's dkms as `debian` and ours as `ours`.
fn both() -> Option<Root> {
    let why = obstacle().or_else(|| layers::our_binary().err());
    if let Some(why) = why {
        println!("skipped: {why}");
        return None;
    }
    let root = Root::builder().kernel(Kernel::K61).image(Kernel::K61).dkms(Impl::Debian).build().unwrap();
    std::fs::copy(layers::our_binary().unwrap(), root.path("/run/dkms-ours")).unwrap();
    std::fs::write(root.path("/run/debian"), "#!/bin/sh\nexec /usr/sbin/dkms \"$@\"\n").unwrap();
    let ready = root.run("chmod +x /run/debian /run/dkms-ours && mv /run/dkms-ours /run/ours").unwrap();
    assert_eq!(ready.status, 0, "{}", ready.stderr);
    Some(root)
}

fn check(root: &Root, script: &str) {
    let out = root.run(script).unwrap();
    assert_eq!(out.status, 0, "{script}\n{}{}", out.stdout, out.stderr);
}

#[test]
fn a_tree_of_debian_s_dkms_is_taken_over() {
    let Some(root) = both() else { return };
    check(
        &root,
        r#"
        fixture single-1.0 multi-1.0 ver-1.9
        /run/debian install single/1.0 -k $K
        /run/debian install multi/1.0 -k $K
        /run/debian build ver/1.9 -k $K
        same "$(/run/ours status)" "$(/run/debian status)"
        /run/ours install single/1.0 -k $K | grep -q 'already installed'
        same "$(/run/ours autoinstall -k $K >/dev/null; /run/ours status ver)" "ver/1.9, $K, $A: installed"
        /run/ours uninstall multi/1.0 -k $K
        same "$(installed alpha)$(installed beta_renamed)" ""
        /run/ours remove single/1.0 --all
        same "$(installed single)" ""
        test ! -e /var/lib/dkms/single
        /run/ours kernel_prerm -k $K
        same "$(/run/ours status)" "multi/1.0: added
ver/1.9: added"
        test ! -e /lib/modules/$K/updates
        "#,
    );
}

#[test]
fn debian_s_dkms_reads_our_tree() {
    let Some(root) = both() else { return };
    check(
        &root,
        r#"
        fixture single-1.0 multi-1.0 ver-1.9
        /run/ours install single/1.0 -k $K
        /run/ours install multi/1.0 -k $K
        /run/ours build ver/1.9 -k $K
        same "$(/run/debian status)" "$(/run/ours status)"
        /run/debian install ver/1.9 -k $K
        same "$(/run/ours status ver)" "ver/1.9, $K, $A: installed"
        /run/debian uninstall multi/1.0 -k $K
        same "$(installed alpha)$(installed beta_renamed)" ""
        /run/debian install multi/1.0 -k $K
        same "$(/run/ours status multi)" "multi/1.0, $K, $A: installed"
        /run/ours uninstall multi/1.0 -k $K
        same "$(installed alpha)$(installed beta_renamed)" ""
        /run/debian remove single/1.0 --all
        /run/debian remove multi/1.0 --all
        /run/debian remove ver/1.9 --all
        same "$(find /var/lib/dkms -mindepth 1 -name '.*' -prune -o -type d -print)" ""
        same "$(/run/ours status)" ""
        "#,
    );
}

#[test]
fn tarballs_go_both_ways() {
    let Some(root) = both() else { return };
    check(
        &root,
        r#"
        fixture single-1.0
        built="single/1.0, $K, $A: built"
        for maker in ours debian; do
            loader=$([[ $maker == ours ]] && echo debian || echo ours)
            /run/$maker build single/1.0 -k $K
            sum=$(sha256sum </var/lib/dkms/single/1.0/$K/$A/module/single.ko)
            for how in "" --binaries-only --source-only; do
                archive=/root/$maker$how.dkms.tar.gz
                /run/$maker mktarball single/1.0 -k $K $how --archive=$archive
            done
            /run/$maker remove single/1.0 --all
            mv /usr/src/single-1.0 /root/source
            /run/$loader ldtarball /root/$maker.dkms.tar.gz
            same "$(/run/ours status)" "$built"
            same "$(sha256sum </var/lib/dkms/single/1.0/$K/$A/module/single.ko)" "$sum"
            diff -r /root/source /usr/src/single-1.0
            /run/$loader install single/1.0 -k $K
            /run/ours remove single/1.0 --all
            # The source is there, so the binaries alone will do.
            /run/$loader ldtarball /root/$maker--binaries-only.dkms.tar.gz
            same "$(/run/ours status)" "$built"
            /run/ours remove single/1.0 --all
            rm -rf /usr/src/single-1.0
            /run/$loader ldtarball /root/$maker--source-only.dkms.tar.gz
            same "$(/run/ours status)" "single/1.0: added"
            /run/ours remove single/1.0 --all
            rm -rf /usr/src/single-1.0 && mv /root/source /usr/src/single-1.0
        done
        "#,
    );
}
