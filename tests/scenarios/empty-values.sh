# An option with an empty value counts as not given: scripts pass variables that may be empty.
#: kernel 6.12
#: step prepare 0
fixture single-1.0 ver-1.9
dkms build single/1.0 -k "$K"
dkms build single/1.0 -k "$K612"
dkms add ver/1.9
dkms status >/run/all
same "$(wc -l </run/all)" 3
#: step status-anything 0 ours
for o in -m -v -k -a --module --kernelver --arch -c --config --kernelsourcedir --dkmstree --sourcetree --installtree \
	--directive --archive --spec --templatekernel --lock-timeout -j; do
	same "$o: $(dkms status "$o" '')" "$o: $(cat /run/all)"
	case $o in --*) same "$o=: $(dkms status "$o=")" "$o=: $(cat /run/all)" ;; esac
done
same "$(dkms '' status '' '')" "$(cat /run/all)"
#: step status-one-of-two 0 ours
same "$(dkms status -m '' -v 1.9 -k '')" "ver/1.9: added"
same "$(dkms status -m single -v '' -k "$K" -a '')" "single/1.0, $K, $A: built"
same "$(dkms status -m single/ -k "$K/")" "single/1.0, $K, $A: built"
same "$(dkms status single/ -k "/$A" | wc -l)" 2
same "$(dkms status -m /1.9)" "ver/1.9: added"
same "$(dkms status -k "$K612/" -k '' | grep built)" "single/1.0, $K612, $A: built"
same "$(dkms status -k / | wc -l)" 3
#: step json 0 ours
same "$(dkms status --json -m '' -k '')" "$(dkms status --json)"
#: step named-all-the-same 0 ours
dkms build -m single/1.0 -v '' -k "$K" -a ''
dkms install -m '' single/1.0 -k "$K/" -c '' --config '' --kernelsourcedir '' -j '' --directive ''
dkms status single -k "$K" | grep -q ': installed$'
dkms uninstall -m single -v 1.0 -k "$K" -k '' -a ''
#: step module-without-version 1 ours
dkms remove -m single -v '' --all
#: step version-without-module 1 ours
dkms remove -m '' -v 1.0 --all
#: step neither 1 ours
dkms build -m '' -v '' -k "$K"
#: step nothing-was-removed 0 ours
same "$(dkms status | wc -l)" 3
#: step hooks-name-their-kernel 4 ours
dkms kernel_prerm -k ''
#: step no-kernel-was-cleared 0 ours
same "$(dkms status | grep -c built)" 2
#: step match-without-template 1 ours
dkms match --templatekernel '' -k "$K"
#: step all-and-empty-kernel 0 ours
dkms remove single/1.0 --all -k '' -a ''
same "$(dkms status)" "ver/1.9: added"
#: step an-image-is-named 2 ours
# An empty variable must not turn a command for an image into one for this machine.
dkms remove ver/1.9 --all --root ''
#: step still-there 0 ours
same "$(dkms status)" "ver/1.9: added"
#: step no-action 2 ours
dkms ''
