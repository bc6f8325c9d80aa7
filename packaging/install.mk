# Installs dkms and its files.
#   make -f packaging/install.mk install            the program, its settings, pages, completions and common scripts
#   make -f packaging/install.mk install-debian     the same, and the kernel hooks of Debian and its family
#   make -f packaging/install.mk install-redhat     the same, and the kernel-install hook and the boot service
#   make -f packaging/install.mk uninstall          removes all of it; built modules and changed settings stay
#   make -f packaging/install.mk install-registry   dkms-registry, which fetches builds; it is a package of its own
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
SYSTEMD  ?= /usr/lib/systemd/system
MANDIR   ?= /usr/share/man
BASHDIR  ?= /usr/share/bash-completion/completions
ZSHDIR   ?= /usr/share/zsh/site-functions
FISHDIR  ?= /usr/share/fish/vendor_completions.d
SHAREDIR ?= /usr/share
DOCDIR   ?= /usr/share/doc/dkms
LIBEXEC  ?= /usr/libexec
SYSUSERS ?= /usr/lib/sysusers.d

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

# $(call completion,shell,to): installs the completions for a shell.
override define completion
$(INSTALL) -d $(dir $(DESTDIR)$(2))
$(HERE)/completions/assemble $(1) > $(DESTDIR)$(2)
chmod 0644 $(DESTDIR)$(2)
endef

override PAGES := dkms.8 dkms.conf.5 dkms-framework.conf.5
override DOCS  := README.md CHANGELOG.md LICENSE $(patsubst $(TOP)/%,%,$(filter-out %/architecture.md,$(wildcard $(TOP)/docs/*.md)))

.PHONY: release release-registry install install-redhat install-debian install-registry install-doc uninstall

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
	$(call script,systemd/dkms.service,$(SYSTEMD)/dkms.service,0644)
	$(call script,hooks/redhat/install.d,$(KINSTALL)/40-dkms.install,0755)

# On Debian, site-functions belongs to the administrator.
install-debian: ZSHDIR = /usr/share/zsh/vendor-completions
install-debian: install
	for hook in postinst header_postinst preinst prerm; do \
	    $(INSTALL) -d $(DESTDIR)$(KCONF)/$$hook.d || exit; \
	done
	$(call script,hooks/debian/postinst,$(KCONF)/postinst.d/dkms,0755)
	$(call script,hooks/debian/postinst,$(KCONF)/header_postinst.d/dkms,0755)
	$(call script,hooks/debian/preinst,$(KCONF)/preinst.d/dkms,0755)
	$(call script,hooks/debian/prerm,$(KCONF)/prerm.d/dkms,0755)
	$(call script,hooks/debian/install.d,$(KINSTALL)/40-dkms.install,0755)
	$(call script,hooks/apport/dkms_packages.py,$(SHAREDIR)/apport/package-hooks/dkms_packages.py,0755)

install-doc:
	for doc in $(DOCS); do $(INSTALL) -D -m 0644 $(TOP)/$$doc $(DESTDIR)$(DOCDIR)/$$doc || exit; done
	cd $(TOP) && find examples -type f | while read -r file; do \
	    mode=0644; test ! -x "$$file" || mode=0755; \
	    $(INSTALL) -D -m $$mode "$$file" "$(abspath $(DESTDIR)$(DOCDIR))/$$file" || exit; \
	done

# A changed framework.conf is kept, and so are built modules. Remove these before, with "dkms remove M/V --all".
uninstall:
	$(RM) $(DESTDIR)$(SBIN)/dkms $(DESTDIR)$(SYSTEMD)/dkms.service $(DESTDIR)$(SYSTEMD)/dkms-ready.service $(DESTDIR)$(SYSTEMD)/dkms-boot-check.service $(DESTDIR)$(SYSTEMD)/dkms-sysext.service $(DESTDIR)$(KINSTALL)/40-dkms.install
	$(RM) $(DESTDIR)$(LIBEXEC)/dkms-registry $(DESTDIR)$(SYSUSERS)/dkms-registry.conf $(DESTDIR)$(MANDIR)/man8/dkms-registry.8
	$(RM) $(DESTDIR)$(LIBDIR)/common.postinst $(DESTDIR)$(LIBDIR)/dkms_autoinstaller $(DESTDIR)$(LIBDIR)/ready_warn $(DESTDIR)$(LIBDIR)/sysext-index
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
