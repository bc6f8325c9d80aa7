# The debhelper addon: "dh --with dkms", or Build-Depends: dh-sequence-dkms.
use strict;
use warnings;
use Debian::Debhelper::Dh_Lib;

insert_before('dh_installinit', 'dh_dkms');

1;
