//! The state that all builds of one command for the same kernel share.

use super::inputs::{self, tools::Tools, tree::Identity};
use super::kernel_btf::{Base, Btf};
use super::programs::HostPrograms;
use crate::error::Error;
use crate::event::Sink;
use crate::host::Host;
use crate::kernel::headers::{self, Headers};
use crate::kernel::installed::ModuleIndex;
use crate::kernel::toolchain::{self, Toolchain};
use crate::system::{Settings, System};
use crate::trust::signing::{self, Signing};
use dkms_conf::framework_conf::FrameworkConf;
use dkms_tree::ids::Kernel;
use dkms_tree::layout::Layout;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// One kernel, prepared once per command for all packages that are built for it.
#[derive(Debug)]
pub struct Target {
    /// The kernel.
    pub kernel: Kernel,
    /// Its headers.
    pub headers: Headers,
    /// The compiler and the other tools for modules of this kernel.
    pub toolchain: Toolchain,
    /// framework.conf, evaluated for this kernel.
    pub framework: FrameworkConf,
    /// Its module files.
    pub index: ModuleIndex,
    signing: OnceLock<Signing>,
    /// Held while a thread decides about signing, or hashes the kernel's files.
    once: Mutex<()>,
    inputs: OnceLock<KernelInputs>,
    btf: OnceLock<Btf>,
    /// The kernel's BTF, unpacked for the first module that needs it, or the reason why it cannot be used.
    base: Mutex<Option<Arc<Result<Base, String>>>>,
    /// Replacements for the programs in headers for another machine. The inner `None` means that no
    /// replacements are needed, or that they cannot be prepared.
    programs: OnceLock<Option<HostPrograms>>,
    /// Descriptions of the programs that compile modules.
    pub(crate) tools: Tools,
}

/// SHA-256 of each file of the kernel that determines how modules are compiled; `absent` if it does not
/// exist.
#[derive(Debug)]
pub(crate) struct KernelInputs {
    /// The configuration; empty if the kernel has none.
    pub config: String,
    /// `Module.symvers`: the exported symbols with their versions.
    pub symvers: String,
    /// `include/generated/autoconf.h`
    pub autoconf: String,
    /// `include/generated/utsrelease.h`
    pub utsrelease: String,
    /// The input from which BTF of modules is generated.
    pub btf: String,
    /// `tools/objtool/objtool`
    pub objtool: String,
    /// All files of the headers.
    pub headers: Identity,
}

impl Target {
    /// Gathers the facts about a kernel that builds need.
    ///
    /// # Errors
    /// [`crate::build::BuildError::HeadersMissing`]; an invalid framework.conf.
    pub fn prepare(system: &System, sink: &dyn Sink, kernel: &Kernel) -> Result<Self, Error> {
        let headers = headers::find(system, kernel)?;
        Ok(Self {
            kernel: kernel.clone(),
            toolchain: toolchain::detect(&system.host, &headers, &kernel.release),
            framework: crate::conf::framework::load(system, sink, Some(&kernel.release))?,
            index: ModuleIndex::scan(&system.layout.kernel_modules(&kernel.release)),
            headers,
            signing: OnceLock::new(),
            once: Mutex::new(()),
            inputs: OnceLock::new(),
            btf: OnceLock::new(),
            base: Mutex::default(),
            programs: OnceLock::new(),
            tools: Tools::default(),
        })
    }

    /// Returns how modules for this kernel are signed. This is determined, and the key is read, when the
    /// first module needs it.
    ///
    /// # Errors
    /// As [`signing::prepare`].
    pub fn signing(&self, system: &System, sink: &dyn Sink) -> Result<&Signing, Error> {
        // One thread decides, and creates a missing key; the others wait for it.
        let _once = self.once.lock();
        if let Some(decided) = self.signing.get() {
            return Ok(decided);
        }
        let decided = signing::prepare(system, sink, &self.headers, &self.kernel.release, &self.framework)?;
        Ok(self.signing.get_or_init(|| decided))
    }

    /// Returns the digests of the kernel's files, which are computed once per command. With `store_digests`,
    /// the digest of the headers is stored in the dkms tree.
    ///
    /// # Errors
    /// A file exists and cannot be read.
    pub(crate) fn inputs(
        &self,
        system: &System,
        sink: &dyn Sink,
        store_digests: bool,
    ) -> Result<&KernelInputs, Error> {
        let _once = self.once.lock();
        if let Some(known) = self.inputs.get() {
            return Ok(known);
        }
        let headers = &self.headers;
        let digest = |name: &str| -> Result<String, Error> {
            let digest = crate::digest::file(&headers.dir.join(name))?;
            Ok(digest.unwrap_or_else(|| "absent".into()))
        };
        let config = headers.config.as_ref();
        let read = KernelInputs {
            config: config.map_or_else(String::new, |c| crate::digest::bytes(c.text().as_bytes())),
            symvers: digest("Module.symvers")?,
            autoconf: digest("include/generated/autoconf.h")?,
            utsrelease: digest("include/generated/utsrelease.h")?,
            btf: self.btf(&system.host, &system.layout).fingerprint(),
            objtool: digest("tools/objtool/objtool")?,
            headers: if dkms_sys::fs::is_dir(&headers.dir) {
                inputs::headers::identify(system, sink, &self.kernel, headers, &self.tools, store_digests)?
            } else {
                // Only possible if nothing is compiled.
                Identity { headers: "absent".into(), kbuild: None }
            },
        };
        Ok(self.inputs.get_or_init(|| read))
    }

    /// Returns how modules for this kernel get their BTF. This is determined once per command.
    pub(super) fn btf(&self, host: &Host, layout: &Layout) -> &Btf {
        let enabled = self.framework.btf != Some(false);
        self.btf.get_or_init(|| Btf::detect(host, layout, &self.headers, &self.kernel.release, enabled))
    }

    /// Returns the kernel's BTF, or the reason why it cannot be used. `unpack` is called for the first
    /// module.
    ///
    /// # Errors
    /// Those of `unpack`. It is called again for the next module.
    pub(super) fn btf_base(
        &self,
        unpack: impl FnOnce() -> Result<Result<Base, String>, Error>,
    ) -> Result<Arc<Result<Base, String>>, Error> {
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = &*base {
            return Ok(Arc::clone(base));
        }
        Ok(Arc::clone(base.insert(Arc::new(unpack()?))))
    }

    /// Returns replacements for the programs in the headers that do not run on this machine. They are
    /// prepared once per command.
    pub(super) fn host_programs(&self, host: &Host, settings: &Settings) -> Option<&HostPrograms> {
        let prepare = || HostPrograms::prepare(host, settings, &self.headers).ok().flatten();
        self.toolchain.foreign.as_ref()?;
        self.programs.get_or_init(prepare).as_ref()
    }

    /// Checks that modules for a kernel of another machine can be compiled here.
    ///
    /// # Errors
    /// [`ProgramError::Missing`]: the compiler for that machine, or the emulator for the programs in its
    /// headers.
    pub(super) fn require_foreign_tools(&self, host: &Host, settings: &Settings) -> Result<(), Error> {
        let Some(foreign) = &self.toolchain.foreign else { return Ok(()) };
        if let Some(program) = &foreign.missing {
            let (machine, release) = (&foreign.machine, &self.kernel.release);
            let purpose = format!("compile modules for {machine}, the machine of kernel {release}");
            return Err(host.missing_program(program, purpose).into());
        }
        if self.host_programs(host, settings).is_none() {
            // Either no replacements are needed, or this call fails and returns the reason.
            HostPrograms::prepare(host, settings, &self.headers)?;
        }
        Ok(())
    }

    /// Files that a build must not read, such as the private key.
    pub(crate) fn hidden(&self, system: &System) -> Vec<PathBuf> {
        signing::private_files(system, &self.headers, &self.framework)
    }
}
