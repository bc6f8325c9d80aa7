//! One tree, two programs: ours takes over what Debian's dkms 3.0.10 left, and 3.0.10 reads what ours left.

use dkms_tests::layers::{obstacle_to_comparison, our_binary};
use dkms_tests::root::{Impl, Kernel, Root};
use dkms_tests::runner::{Failure, Outcome, Test};

/// `takeover::NAME`.
pub fn tests() -> Vec<Test> {
    [
        ("takeover::ours_takes_over_a_tree_of_debians_dkms", TAKE_OVER),
        ("takeover::debians_dkms_reads_our_tree", GIVE_BACK),
        ("takeover::tarballs_of_one_load_in_the_other", TARBALLS),
    ]
    .map(|(name, script)| Test::new(name, move || check(script)).obstacle(obstacle_to_comparison()))
    .into()
}

/// Runs a script in a root with Debian's dkms as `/run/debian` and ours as `/run/ours`.
fn check(script: &str) -> Result<Outcome, Failure> {
    let root = Root::builder().kernel(Kernel::K61).image(Kernel::K61).dkms(Impl::Debian).build();
    let root = root.map_err(|error| error.to_string())?;
    let written = std::fs::copy(our_binary()?, root.path("/run/ours"))
        .and_then(|_| std::fs::write(root.path("/run/debian"), "#!/bin/sh\nexec /usr/sbin/dkms \"$@\"\n"));
    written.map_err(|error| format!("copying the programs into the private root: {error}"))?;
    let script = format!("chmod +x /run/debian /run/ours\nset -e\n{script}");
    let out = root.run(&script).map_err(|error| error.to_string())?;
    if out.status == 0 {
        return Ok(Outcome::Passed(Vec::new()));
    }
    Err(format!("exit code {}: {script}\n{}{}", out.status, out.stdout, out.stderr))
}

const TAKE_OVER: &str = r#"
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
"#;

const GIVE_BACK: &str = r#"
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
"#;

const TARBALLS: &str = r#"
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
    # The source is there, so a tarball with binaries only is enough.
    /run/$loader ldtarball /root/$maker--binaries-only.dkms.tar.gz
    same "$(/run/ours status)" "$built"
    /run/ours remove single/1.0 --all
    rm -rf /usr/src/single-1.0
    /run/$loader ldtarball /root/$maker--source-only.dkms.tar.gz
    same "$(/run/ours status)" "single/1.0: added"
    /run/ours remove single/1.0 --all
    rm -rf /usr/src/single-1.0 && mv /root/source /usr/src/single-1.0
done
"#;
