# Copyright 2026 Gentoo Authors
# Distributed under the terms of the GNU General Public License v2
# shellcheck shell=bash disable=SC2034,SC2154 # portage reads and sets the variables

EAPI=8

inherit linux-info optfeature

DESCRIPTION="Builds kernel modules that are not part of the kernel"
HOMEPAGE="https://github.com/dkms-project/dkms"
# "cargo vendor" in the source archive brings the crates: nothing is downloaded.
SRC_URI="${HOMEPAGE}/archive/v${PV}.tar.gz -> ${P}.tar.gz"

LICENSE="GPL-2+"
SLOT="0"
KEYWORDS="~amd64 ~arm64 ~riscv"
# They need root and the kernels of a distribution.
RESTRICT="test"

RDEPEND="
	app-shells/bash
	dev-build/make
	sys-apps/kmod
	sys-devel/patch
	virtual/linux-sources
"
BDEPEND="|| ( >=dev-lang/rust-bin-1.85 >=dev-lang/rust-1.85 )"

CONFIG_CHECK="~MODULES"

src_compile() {
	cargo build --release --locked --offline -p dkms || die
}

src_install() {
	emake -f packaging/install.mk install-gentoo DESTDIR="${ED}" BINARY=target/release/dkms
	einstalldocs
	keepdir /var/lib/dkms /etc/dkms/framework.conf.d
}

pkg_postinst() {
	optfeature "modules for each kernel that is installed" sys-kernel/installkernel
	optfeature "type information (BTF) in modules" dev-util/pahole
	optfeature "enrolling the signing key for Secure Boot" sys-boot/mokutil
}
