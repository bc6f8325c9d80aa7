# However output fails, the command ends by itself, and its changes are complete or rolled back.
#: image
#: step prepare 0
fixture single-1.0 multi-1.0
sed -i '1i $(shell sleep 2)' /usr/src/single-1.0/Kbuild
dkms add single/1.0; dkms add multi/1.0
cat >/root/all <<'S'
# bash all ARGUMENTS...: the command with each kind of broken output; each run has to end with an allowed code, and fsck has to find nothing.
for how in $hows; do
	end=$(TERM=xterm python3 /e2e/gone.py $how 60 "$@")
	case $how,$end in *,0 | pty*+leader,129) ;; *) echo "$how: $* ended with $end"; exit 1 ;; esac
	dkms fsck >/run/fsck 2>&1 || { echo "$how: $*"; cat /run/fsck; exit 1; }
	[ "$end" = 0 ] || continue
	dkms status | grep -q "$want" || { echo "$how: $* ended with 0 and: $(dkms status)"; exit 1; }
done
S
#: step build 0 ours
export hows="pty+nohup pty-now+nohup pty+leader pipe pipe-now full+nochild closed full:1+pty:2+nohup pipe:1+closed:2 closed:1+full:2"
want='single/1.0,.*: built' bash /root/all dkms build single/1.0 -k "$K" --force
#: step install 0 ours
export hows="pty+nohup pty+leader pipe null:1+pipe-now:2 full+nochild"
want='single/1.0,.*: installed' bash /root/all dkms install single/1.0 -k "$K" --force
#: step autoinstall 0 ours
export hows="pty+nohup pipe-now closed"
want='multi/1.0,.*: installed' bash /root/all dkms autoinstall -k "$K"
#: step what-is-over-quickly 0 ours
for how in pty+nohup pipe-now full closed; do
	test "$(python3 /e2e/gone.py $how 20 dkms uninstall single/1.0 -k "$K")" = 0
	test "$(python3 /e2e/gone.py $how 60 dkms install single/1.0 -k "$K")" = 0
done
dkms status single | grep -q ': installed$'
#: step what-is-only-shown 0 ours
# A reader that went away has seen enough; what could not be written is a failure.
same "$(python3 /e2e/gone.py pipe-now:1 20 dkms status)" 0
same "$(python3 /e2e/gone.py full:1 20 dkms status)" 1
same "$(python3 /e2e/gone.py full:1 20 dkms config single/1.0)" 1
same "$(python3 /e2e/gone.py null:1+full:2 20 dkms status)" 0
same "$(python3 /e2e/gone.py closed:1 20 dkms status)" 0
#: step a-failing-build 0 ours
echo 'error here' >>/usr/src/single-1.0/single.c
for how in pty+nohup pipe-now full; do same "$how $(TERM=xterm python3 /e2e/gone.py $how 60 dkms build single/1.0 -k "$K" --force)" "$how 10"; done
dkms status single | grep -q ': installed$'
