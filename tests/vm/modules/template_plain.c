// SPDX-License-Identifier: GPL-2.0-or-later
// A module as most are: it uses symbols for everybody and symbols for GPL modules only.
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static struct dentry *dir;

static int __init plain_init(void)
{
	char *name = kstrdup("judge", GFP_KERNEL);

	if (!name)
		return -ENOMEM;
	dir = debugfs_create_dir(name, NULL);
	kfree(name);
	return 0;
}

static void __exit plain_exit(void)
{
	debugfs_remove(dir);
}

module_init(plain_init);
module_exit(plain_exit);
MODULE_DESCRIPTION("What the variants are made of");
MODULE_LICENSE("GPL and additional rights");
