# Help, suggestions for misspelt words, options without effect, and modules given without a version.
#: step help-of-everything 0 ours
dkms --help >/run/1; dkms help >/run/2; dkms -h status --no-such-option >/run/3 || true
cmp /run/1 /run/2
grep -q '^  autoinstall ' /run/1; grep -q -- '--force-version-override' /run/1
#: step help-of-an-action 0 ours
for form in 'help ready' 'ready --help' '--help ready' '-h ready'; do
	# shellcheck disable=SC2086 # several words
	dkms $form >/run/1
	grep -q '^Usage: dkms ready ' /run/1; grep -q '^  dkms ready -k' /run/1
	code 1 grep -q -- '--force' /run/1; code 1 grep -q autoinstall /run/1
done
#: step help-of-an-unknown-action 2 ours
dkms help instal 2>/run/err >/run/out || { c=$?; grep -q "did you mean 'install'?" /run/err; test ! -s /run/out; exit $c; }
#: step misspelt-action 2 ours
dkms statsu 2>/run/err || { c=$?; grep -q "'statsu' is not an action: did you mean 'status'?" /run/err; exit $c; }
#: step misspelt-option 2 ours
dkms status --verbos --kernlver 1 2>/run/err || { c=$?; grep -q "did you mean '--kernelver'?" /run/err; exit $c; }
#: step options-without-effect 0 ours
fixture single-1.0
dkms add single/1.0 --spec x 2>/run/err
same "$(cat /run/err)" "dkms: warning: --spec has no effect on add: see 'dkms help add'"
same "$(dkms status --force 2>/run/err)" "single/1.0: added"
grep -q -- '--force has no effect on status' /run/err
dkms status --force --quiet 2>&1 | code 1 grep .
dkms status --json --force 2>/dev/null | grep -q '"schema"'
same "$(dkms status --json --force 2>/dev/null)" "$(dkms status --json)"
#: step options-of-3.x 0 ours
dkms remove single/1.0 --all --force --no-depmod --rpm_safe_upgrade 2>/run/err
code 1 grep warning /run/err
dkms status --all 2>&1 | code 1 grep .
#: step the-only-source 0 ours
mkdir /usr/src/single-tools-2; cp /usr/src/single-1.0/* /usr/src/single-tools-2
dkms add -m single
same "$(dkms status)" "single/1.0: added"
#: step add-again 1 ours
dkms add -m single 2>/run/err || { c=$?; grep -q 'dkms add single/1.0' /run/err; exit $c; }
#: step the-only-version 0 ours
dkms install single -k "$K"
same "$(dkms status)" "single/1.0, $K, $A: installed"
dkms build -m single -k "$K"
dkms uninstall single -k "$K" 2>/run/err; grep -q 'single/1.0, the only version' /run/err
dkms unbuild single --all
dkms remove -m single --all
same "$(dkms status)" ""
#: step built-from-the-only-source 0 ours
dkms build single -k "$K"
same "$(dkms status)" "single/1.0, $K, $A: built"
dkms remove single --all
#: step no-version 1 ours
dkms build -m nothing -k "$K" 2>/run/err || { c=$?; grep -q 'needs a module and its version' /run/err; exit $c; }
#: step several-sources 1 ours
fixture ver-1.9 ver-1.10
dkms install -m ver -k "$K" 2>/run/err || { c=$?; grep -q 'ver has 1.10, 1.9' /run/err; exit $c; }
#: step several-versions 1 ours
dkms add ver/1.9; dkms add ver/1.10
dkms remove -m ver --all 2>/run/err || { c=$?; grep -q 'dkms remove ver/1.9$' /run/err; exit $c; }
#: step nothing-was-removed 0 ours
same "$(dkms status ver | wc -l)" 2
#: step an-empty-version-is-not-guessed 1 ours
dkms remove ver/1.9 --all
# shellcheck disable=SC2086 # several words
for version in '-m ver -v' '-m ver/ -v' '-m ver/ --module=ver/ -v'; do code 1 dkms remove $version '' --all; done
code 1 dkms remove ver/ --all
same "$(dkms status)" "ver/1.10: added"
dkms build -m ver -v '' -k "$K"
