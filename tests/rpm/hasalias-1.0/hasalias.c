// SPDX-License-Identifier: GPL-2.0-only
/* A module that hardware asks for by several names, and which calls its own version otherwise than its package. */
#include <linux/init.h>
#include <linux/module.h>
#include <linux/pci.h>

static const struct pci_device_id ids[] = {
	{ PCI_DEVICE(0x1d6b, 0x00ff) },
	{ PCI_DEVICE_CLASS(0x028000, 0xffff00) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ids);
MODULE_ALIAS("of:N*T*Cmade,up(device)");
MODULE_ALIAS("dmi:*:svnMade Up:*");

static int __init start(void)
{
	return 0;
}

static void __exit stop(void)
{
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms test module hasalias");
MODULE_VERSION("7.1 beta");
