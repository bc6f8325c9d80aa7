# Named pipes, devices, sockets, links, directories and files of 40 GB where dkms reads and writes files.
#: step install 0 ours
fixture single-1.0
dkms install single/1.0 -k "$K"
touch /etc/dkms/single.conf
dkms mktarball single/1.0 -k "$K" --archive /root/good.tar.gz
#: step nothing-hangs-or-dies 0 ours
python3 /e2e/special-files.py
#: step sources-with-special-files-are-copied-without-them 0 ours
fixture ver-1.9
mkfifo /usr/src/ver-1.9/pipe
mknod /usr/src/ver-1.9/zero c 1 5
dkms build ver/1.9 -k "$K" >/run/out 2>&1
grep -q 'warning: .*/pipe is not copied' /run/out
grep -q 'warning: .*/zero is not copied' /run/out
dkms mktarball ver/1.9 --source-only --archive /root/ver.tar.gz >/run/out 2>&1
grep -q 'warning: .*/pipe is not copied' /run/out
code 1 grep -E 'pipe|zero' <(tar tf /root/ver.tar.gz)
