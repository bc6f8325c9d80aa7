# Installs dkms and its files.
# make -f packaging/install.mk TARGET, which is one of
#   install            the program, its settings, pages, completions and common scripts
#   install-debian     the same, and the kernel hooks of Debian and its family
#   install-redhat     the same, and the kernel-install hook and the boot service
#   install-suse       the same, for the file triggers of the rpm package on openSUSE and SLES
#   install-arch       the same, and the hooks of pacman and the boot service
#   install-alpine     the same, and the kernel hook; the trigger of apk is in the package
#   install-void       the same, and the kernel hooks of Void
#   install-gentoo     the same, and the plugins of installkernel and kernel-install
#   uninstall          removes all of it; built modules and changed settings stay
#   install-registry   dkms-registry, which fetches builds; it is a separate package
#   install-dh-dkms    dh_dkms, for makers of Debian packages; it is a separate package
# DESTDIR=dir installs everything below dir. Every directory below can be set, without DESTDIR in it.
# BINARY=file, REGISTRY=file install these programs instead of building them.

SBIN     ?= /usr/sbin
ETC      ?= /etc/dkms
VAR      ?= /var/lib/dkms
CACHE    ?= /var/cache/dkms
LIBDIR   ?= /usr/lib/dkms
MODDIR   ?= /lib/modules
KCONF    ?= /etc/kernel
KINSTALL ?= /usr/lib/kernel/install.d
PREINST  ?= /usr/lib/kernel/preinst.d
ALPM     ?= /usr/share/libalpm
KHOOKS   ?= /usr/share/kernel-hooks.d
KERNELD  ?= /etc/kernel.d
SYSTEMD  ?= /usr/lib/systemd/system
MANDIR   ?= /usr/share/man
BASHDIR  ?= /usr/share/bash-completion/completions
ZSHDIR   ?= /usr/share/zsh/site-functions
FISHDIR  ?= /usr/share/fish/vendor_completions.d
SHAREDIR ?= /usr/share
DOCDIR   ?= /usr/share/doc/dkms
LIBEXEC  ?= /usr/libexec
SYSUSERS ?= /usr/lib/sysusers.d
BINDIR   ?= /usr/bin
DEBHELPER ?= /usr/share/debhelper
PERLDIR  ?= /usr/share/perl5

CARGO   ?= cargo
INSTALL ?= install

override HERE := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
override TOP  := $(HERE)/..
BINARY ?= $(or $(CARGO_TARGET_DIR),$(TOP)/target)/release/dkms
REGISTRY ?= $(or $(CARGO_TARGET_DIR),$(TOP)/target)/release/dkms-registry

# $(call script,from,to,mode): installs a text file, with the directories in it replaced by those chosen here.
override define script
$(INSTALL) -d $(dir $(DESTDIR)$(2))
sed -e 's,/usr/sbin/dkms,$(SBIN)/dkms,g' -e 's,/lib/modules,$(MODDIR),g' -e 's,/usr/lib/dkms,$(LIBDIR),g' \
    -e 's,/etc/kernel,$(KCONF),g' -e 's,/etc/dkms,$(ETC),g' -e 's,/var/lib/dkms,$(VAR),g' \
    $(HERE)/$(1) > $(DESTDIR)$(2)
chmod $(3) $(DESTDIR)$(2)
endef

# The users of builds, where the distribution has systemd-sysusers or its like.
override define sysusers
$(INSTALL) -D -m 0644 $(HERE)/sysusers/dkms.conf $(DESTDIR)$(SYSUSERS)/dkms.conf
endef

# $(call completion,shell,to): installs the completions for a shell.
override define completion
$(INSTALL) -d $(dir $(DESTDIR)$(2))
$(HERE)/completions/assemble $(1) > $(DESTDIR)$(2)
chmod 0644 $(DESTDIR)$(2)
endef

override PAGES := dkms.8 dkms.conf.5 dkms-framework.conf.5
override DOCS  := README.md CHANGELOG.md LICENSE $(patsubst $(TOP)/%,%,$(filter-out %/architecture.md,$(wildcard $(TOP)/docs/*.md)))

override HOOKS := 70-dkms-install.hook 70-dkms-upgrade.hook 71-dkms-remove.hook

.PHONY: release release-registry install install-redhat install-suse install-arch install-alpine install-void install-gentoo install-debian install-registry install-dh-dkms install-doc uninstall

# cargo decides what to rebuild; a BINARY is installed as it is.
release:
ifeq ($(origin BINARY),file)
	cd $(TOP) && $(CARGO) build --release --locked -p dkms
endif

release-registry:
ifeq ($(origin REGISTRY),file)
	cd $(TOP) && $(CARGO) build --release --locked -p dkms-registry
endif

install-registry: release-registry
	$(INSTALL) -D -m 0755 $(REGISTRY) $(DESTDIR)$(LIBEXEC)/dkms-registry
	$(INSTALL) -D -m 0644 $(HERE)/sysusers/dkms-registry.conf $(DESTDIR)$(SYSUSERS)/dkms-registry.conf
	$(INSTALL) -D -m 0644 $(HERE)/man/dkms-registry.8 $(DESTDIR)$(MANDIR)/man8/dkms-registry.8

install: release
	$(INSTALL) -D -m 0755 $(BINARY) $(DESTDIR)$(SBIN)/dkms
	$(INSTALL) -d $(DESTDIR)$(ETC)/framework.conf.d $(DESTDIR)$(VAR) $(DESTDIR)$(CACHE)
	test -e $(DESTDIR)$(ETC)/framework.conf || $(INSTALL) -m 0644 $(HERE)/framework.conf $(DESTDIR)$(ETC)/framework.conf
	$(call script,hooks/common.postinst,$(LIBDIR)/common.postinst,0755)
	$(call script,hooks/dkms_autoinstaller,$(LIBDIR)/dkms_autoinstaller,0755)
	$(call script,hooks/ready_warn,$(LIBDIR)/ready_warn,0755)
	$(call script,hooks/headers_package,$(LIBDIR)/headers_package,0755)
	$(call script,systemd/dkms-ready.service,$(SYSTEMD)/dkms-ready.service,0644)
	$(call script,systemd/dkms-boot-check.service,$(SYSTEMD)/dkms-boot-check.service,0644)
	$(call script,systemd/dkms-sysext.service,$(SYSTEMD)/dkms-sysext.service,0644)
	$(call script,systemd/sysext-index,$(LIBDIR)/sysext-index,0755)
	$(call completion,bash,$(BASHDIR)/dkms)
	$(call completion,zsh,$(ZSHDIR)/_dkms)
	$(call completion,fish,$(FISHDIR)/dkms.fish)
	for page in $(PAGES); do \
	    $(INSTALL) -D -m 0644 $(HERE)/man/$$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$$page || exit; \
	done

install-redhat: install
	$(sysusers)
	$(call script,systemd/dkms.service,$(SYSTEMD)/dkms.service,0644)
	$(call script,hooks/redhat/install.d,$(KINSTALL)/40-dkms.install,0755)
	$(call script,hooks/package_files,$(LIBDIR)/package_files,0755)

install-suse: install
	$(sysusers)
	$(call script,systemd/dkms.service,$(SYSTEMD)/dkms.service,0644)
	$(call script,hooks/package_files,$(LIBDIR)/package_files,0755)
	$(call script,hooks/kernel_gone,$(LIBDIR)/kernel_gone,0755)
	$(call script,suse/kernels,$(LIBDIR)/kernels,0755)

# In Arch, /usr/sbin and /lib are links of the file system's package.
install-arch: SBIN = /usr/bin
install-arch: MODDIR = /usr/lib/modules
install-arch: install
	$(sysusers)
	$(call script,systemd/dkms.service,$(SYSTEMD)/dkms.service,0644)
	$(call script,hooks/package_files,$(LIBDIR)/package_files,0755)
	$(call script,arch/dkms,$(ALPM)/scripts/dkms,0755)
	for hook in $(HOOKS); do $(INSTALL) -D -m 0644 $(HERE)/arch/$$hook $(DESTDIR)$(ALPM)/hooks/$$hook || exit; done

# kernel-hooks runs what is in /etc/kernel-hooks.d.
install-alpine: install
	$(call script,hooks/package_files,$(LIBDIR)/package_files,0755)
	$(call script,hooks/kernel_gone,$(LIBDIR)/kernel_gone,0755)
	$(call script,alpine/kernel-hook,$(KHOOKS)/dkms.hook,0755)
	$(INSTALL) -d $(DESTDIR)/etc/kernel-hooks.d
	ln -sf $(KHOOKS)/dkms.hook $(DESTDIR)/etc/kernel-hooks.d/40-dkms.hook

# In Void, /usr/sbin is a link of the file system's package.
install-void: SBIN = /usr/bin
install-void: install
	$(call script,void/post-install,$(KERNELD)/post-install/10-dkms,0755)
	$(call script,void/pre-remove,$(KERNELD)/pre-remove/10-dkms,0755)

# Either installkernel or, with USE=systemd, kernel-install runs its plugin.
install-gentoo: install-redhat
	$(call script,gentoo/40-dkms.install,$(PREINST)/40-dkms.install,0755)

# On Debian, site-functions belongs to the administrator.
install-debian: ZSHDIR = /usr/share/zsh/vendor-completions
install-debian: install
	$(sysusers)
	for hook in postinst header_postinst preinst prerm; do \
	    $(INSTALL) -d $(DESTDIR)$(KCONF)/$$hook.d || exit; \
	done
	$(call script,hooks/debian/postinst,$(KCONF)/postinst.d/dkms,0755)
	$(call script,hooks/debian/postinst,$(KCONF)/header_postinst.d/dkms,0755)
	$(call script,hooks/debian/preinst,$(KCONF)/preinst.d/dkms,0755)
	$(call script,hooks/debian/prerm,$(KCONF)/prerm.d/dkms,0755)
	$(call script,hooks/debian/install.d,$(KINSTALL)/40-dkms.install,0755)
	$(call script,debian/dkms-autopkgtest,$(LIBDIR)/dkms-autopkgtest,0755)
	$(call script,hooks/apport/dkms_packages.py,$(SHAREDIR)/apport/package-hooks/dkms_packages.py,0755)

# DH_VERSION is written into the scripts that dh_dkms generates.
install-dh-dkms: DH_VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' $(TOP)/Cargo.toml | head -n 1)
install-dh-dkms:
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DEBHELPER)/autoscripts
	sed -e 's/@VERSION@/$(DH_VERSION)/' $(HERE)/debian/dh-dkms/dh_dkms > $(DESTDIR)$(BINDIR)/dh_dkms
	chmod 0755 $(DESTDIR)$(BINDIR)/dh_dkms
	$(INSTALL) -D -m 0644 $(HERE)/debian/dh-dkms/dkms.pm $(DESTDIR)$(PERLDIR)/Debian/Debhelper/Sequence/dkms.pm
	$(INSTALL) -D -m 0644 $(HERE)/man/dh_dkms.1 $(DESTDIR)$(MANDIR)/man1/dh_dkms.1
	for script in postinst prerm; do \
	    sed -e '/^##/d' $(HERE)/debian/dh-dkms/$$script-dkms > $(DESTDIR)$(DEBHELPER)/autoscripts/$$script-dkms || exit; \
	    chmod 0644 $(DESTDIR)$(DEBHELPER)/autoscripts/$$script-dkms || exit; \
	done

install-doc:
	for doc in $(DOCS); do $(INSTALL) -D -m 0644 $(TOP)/$$doc $(DESTDIR)$(DOCDIR)/$$doc || exit; done
	cd $(TOP) && find examples -type f | while read -r file; do \
	    mode=0644; test ! -x "$$file" || mode=0755; \
	    $(INSTALL) -D -m $$mode "$$file" "$(abspath $(DESTDIR)$(DOCDIR))/$$file" || exit; \
	done

# Keeps a changed framework.conf and built modules. To remove modules, run "dkms remove M/V --all" before.
uninstall:
	$(RM) $(DESTDIR)$(SBIN)/dkms $(DESTDIR)$(SYSTEMD)/dkms.service $(DESTDIR)$(SYSTEMD)/dkms-ready.service $(DESTDIR)$(SYSTEMD)/dkms-boot-check.service $(DESTDIR)$(SYSTEMD)/dkms-sysext.service $(DESTDIR)$(KINSTALL)/40-dkms.install
	$(RM) $(DESTDIR)$(LIBEXEC)/dkms-registry $(DESTDIR)$(SYSUSERS)/dkms.conf $(DESTDIR)$(SYSUSERS)/dkms-registry.conf $(DESTDIR)$(MANDIR)/man8/dkms-registry.8
	$(RM) $(DESTDIR)$(BINDIR)/dh_dkms $(DESTDIR)$(PERLDIR)/Debian/Debhelper/Sequence/dkms.pm $(DESTDIR)$(MANDIR)/man1/dh_dkms.1
	$(RM) $(DESTDIR)$(DEBHELPER)/autoscripts/postinst-dkms $(DESTDIR)$(DEBHELPER)/autoscripts/prerm-dkms
	$(RM) $(DESTDIR)$(LIBDIR)/dkms-autopkgtest
	$(RM) $(DESTDIR)$(LIBDIR)/common.postinst $(DESTDIR)$(LIBDIR)/dkms_autoinstaller $(DESTDIR)$(LIBDIR)/ready_warn $(DESTDIR)$(LIBDIR)/sysext-index
	$(RM) $(foreach script,headers_package package_files kernel_gone kernels,$(DESTDIR)$(LIBDIR)/$(script))
	$(RM) $(DESTDIR)$(ALPM)/scripts/dkms $(foreach hook,$(HOOKS),$(DESTDIR)$(ALPM)/hooks/$(hook))
	$(RM) $(DESTDIR)$(KHOOKS)/dkms.hook $(DESTDIR)/etc/kernel-hooks.d/40-dkms.hook
	$(RM) $(DESTDIR)$(KERNELD)/post-install/10-dkms $(DESTDIR)$(KERNELD)/pre-remove/10-dkms $(DESTDIR)$(PREINST)/40-dkms.install
	$(RM) $(foreach hook,postinst header_postinst preinst prerm,$(DESTDIR)$(KCONF)/$(hook).d/dkms)
	$(RM) $(DESTDIR)$(SHAREDIR)/apport/package-hooks/dkms_packages.py
	$(RM) $(DESTDIR)$(BASHDIR)/dkms $(DESTDIR)$(ZSHDIR)/_dkms $(DESTDIR)/usr/share/zsh/vendor-completions/_dkms $(DESTDIR)$(FISHDIR)/dkms.fish
	$(RM) $(foreach page,$(PAGES),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(page))
	$(RM) $(foreach doc,$(DOCS),$(DESTDIR)$(DOCDIR)/$(doc))
	$(RM) -r $(DESTDIR)$(DOCDIR)/examples
	! cmp -s $(HERE)/framework.conf $(DESTDIR)$(ETC)/framework.conf || $(RM) $(DESTDIR)$(ETC)/framework.conf
	for dir in $(DOCDIR)/docs $(DOCDIR) $(LIBDIR) $(ETC)/framework.conf.d $(ETC) $(VAR) $(CACHE); do \
	    test ! -d $(DESTDIR)$$dir || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$dir; \
	done
