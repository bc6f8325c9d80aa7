// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/device/class.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/module.h>

#ifndef SHELF_ABOUT
#define SHELF_ABOUT "for newer kernels"
#endif

static struct class *shelf;

static int __init shelf_init(void)
{
	shelf = class_create("shelf");
	return PTR_ERR_OR_ZERO(shelf);
}

static void __exit shelf_exit(void)
{
	class_destroy(shelf);
}

module_init(shelf_init);
module_exit(shelf_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("dkms example: " SHELF_ABOUT);
MODULE_VERSION("1.0");
