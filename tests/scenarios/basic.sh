# The life of one package: added, built, installed, uninstalled, unbuilt, removed.
#: image
#: step add 0
fixture single-1.0
dkms add -m single/1.0
#: step add-again 3
dkms add -m single -v 1.0
#: step build 0
dkms build -m single -v 1.0 -k "$K"
#: step build-again 0
dkms build single/1.0 -k "$K/$A"
#: step install 0
dkms install single/1.0 -k "$K"
#: step install-again 0
dkms install single/1.0 -k "$K"
#: step uninstall 0
dkms uninstall single/1.0 -k "$K"
#: step unbuild 0
dkms unbuild single/1.0 -k "$K"
#: step remove 0
dkms remove single/1.0 --all
#: step remove-again 3
dkms remove single/1.0 --all
