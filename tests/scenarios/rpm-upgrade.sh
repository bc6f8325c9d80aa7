# --rpm_safe_upgrade: an add in a transaction cancels the following remove in the same transaction.
#: step upgrade 0
fixture single-1.0
# The grandparent process is the transaction: two scriptlets below one shell.
bash -c 'bash -c "dkms add -m single -v 1.0 --rpm_safe_upgrade; true"; bash -c "dkms remove -m single -v 1.0 --all --rpm_safe_upgrade; exit \$?"; exit $?'
#: step still-there 0
same "$(dkms status)" "single/1.0: added"
#: step another-release-of-the-same-version 0
bash -c 'bash -c "dkms add -m single -v 1.0 --rpm_safe_upgrade; true"; bash -c "dkms remove -m single -v 1.0 --all --rpm_safe_upgrade; exit \$?"; exit $?'
same "$(dkms status)" "single/1.0: added"
#: step removal-for-good 0
bash -c 'bash -c "dkms remove -m single -v 1.0 --all --rpm_safe_upgrade; exit \$?"; exit $?'
same "$(dkms status)" ""
