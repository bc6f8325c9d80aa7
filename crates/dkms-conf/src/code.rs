//! The kinds of findings. Each has a permanent code.

/// Declares the kinds: variant, code, reason.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $why:literal;)*) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every kind.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// Its code, for programs and for the manual; it never changes.
            pub fn word(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }

            /// Why it matters, in a sentence without a full stop.
            pub fn why(self) -> &'static str {
                match self { $(Code::$name => $why,)* }
            }
        }
    };
}

codes! {
    /// A name one or two letters away from a directive.
    Misspelt, "misspelt-directive", "dkms ignores names that it does not know, so the value is lost";
    /// An upper-case name that nothing reads.
    Unknown, "unknown-directive", "dkms does not know this name, and nothing in the file uses it";
    /// An obsolete directive.
    Deprecated, "deprecated-directive", "it is accepted for old packages; new ones should not use it";
    /// A value that is set twice, so that one is lost.
    AssignedTwice, "assigned-twice", "only the last value is used";
    /// `y` instead of `yes`.
    YesNo, "yes-no", "only yes and no are allowed, in upper or lower case; dkms refuses the file";
    /// PACKAGE_NAME or PACKAGE_VERSION is missing.
    NameMissing, "name-missing", "dkms identifies the package by its name and version";
    /// PACKAGE_NAME or PACKAGE_VERSION contains problematic characters.
    NameOdd, "name-odd", "name and version are used in directory names and on command lines";
    /// The directory of the sources has a different name.
    DirectoryName, "directory-name", "'dkms add NAME/VERSION' looks for /usr/src/NAME-VERSION";
    /// Nothing to build.
    NoModule, "no-module", "without a module there is nothing to install";
    /// A gap in the arrays.
    ModuleUnnamed, "module-unnamed", "every index up to the highest one in the arrays needs a name";
    /// `.ko` in a module's name.
    ModuleSuffix, "module-suffix", "dkms adds the suffix itself; it refuses the file";
    /// A directory in a module's name, or a location outside the build directory.
    ModulePath, "module-path", "there are separate directives for name and directory";
    /// Two modules with the same name.
    ModuleDuplicate, "module-duplicate", "one would overwrite the other; dkms refuses the file";
    /// DEST_MODULE_LOCATION is missing or outside the allowed directories.
    Destination, "destination", "every module needs a directory below /kernel, /updates or /extra";
    /// STRIP is neither yes nor no.
    Strip, "strip-value", "only the first letter is used, and everything except n means yes";
    /// `PATCH_MATCH` without `PATCH`, `MAKE[1]` without `MAKE_MATCH`.
    MatchWithout, "match-without", "entries of the two arrays with the same index belong together";
    /// A patch outside patches/.
    PatchPath, "patch-path", "dkms looks for patches only in the source's patches/ directory";
    /// A patch that does not exist.
    PatchMissing, "patch-missing", "the build fails for every kernel that the patch applies to";
    /// A script that does not exist.
    ScriptMissing, "script-missing", "dkms prints a warning and continues without it";
    /// A script that is not executable.
    ScriptNotExecutable, "script-not-executable", "dkms prints a warning and continues without it";
    /// An invalid regular expression.
    RegexInvalid, "regex-invalid", "dkms cannot determine which kernels it matches";
    /// A dot that matches any character.
    RegexDot, "regex-dot", "a plain dot matches any character; write a backslash before it to match a dot";
    /// No `^` before a version.
    RegexUnanchored, "regex-unanchored", "without ^ it matches anywhere in the release, also after a dot";
    /// `^6.1` also matches 6.12.
    RegexTooMuch, "regex-too-much", "a version without an end also matches longer ones";
    /// No kernel can match.
    RegexNothing, "regex-nothing", "no kernel matches, so this entry is never used";
    /// MAKE installs files.
    MakeInstalls, "make-installs", "dkms installs the modules that MAKE built; files that MAKE installs are never removed, and may be for another kernel";
    /// MAKE does not use the target kernel.
    MakeIgnoresKernel, "make-ignores-kernel", "dkms also builds for kernels that are not running, and this command does not say which";
    /// `uname` instead of a variable.
    Uname, "uname", "it is the running kernel, which is rarely the one to build for";
    /// `nproc` instead of dkms's number of jobs.
    Nproc, "nproc", "dkms divides the processors among all builds and sets the number of jobs itself";
    /// A setting of framework.conf, which the linter does not check.
    Setting, "setting", "dkms refuses the file";
    /// CONFINE and similar directives: with an invalid value, or in a package.
    Confine, "confine", "only the administrator decides what a build may do, in /etc/dkms/NAME.conf";
    /// Only bash can evaluate the file.
    NeedsBash, "needs-bash", "a confined bash evaluates the file, which is slower and has access neither to root's files nor to the network";
    /// The file cannot be evaluated, not even by bash.
    CannotEvaluate, "cannot-evaluate", "dkms cannot use the package";
}
