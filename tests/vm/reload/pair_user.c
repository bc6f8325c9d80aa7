/* A module that uses pair_base. With FAILS it has an init function that fails, which no check of the file can know. */
#include <linux/module.h>

int pair_value(void);

static int __init pair_init(void)
{
#ifdef FAILS
	return -EIO;
#endif
	pr_info("pair_user: %d\n", pair_value());
	return 0;
}

static void __exit pair_exit(void)
{
}

module_init(pair_init);
module_exit(pair_exit);
MODULE_LICENSE("GPL");
