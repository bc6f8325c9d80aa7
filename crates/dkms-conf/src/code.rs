//! The kinds of findings, each with a word that stays.

/// Declares the kinds: variant, word, why it matters.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $why:literal;)*) => {
        /// What kind of finding it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every kind.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// Its word: for programs and for the manual; it never changes.
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
    Misspelt, "misspelt-directive", "dkms looks only for the names it knows; the value is lost";
    /// An upper-case name that nothing reads.
    Unknown, "unknown-directive", "dkms does not know the name, and nothing in the file reads it";
    /// A directive of old.
    Deprecated, "deprecated-directive", "it is accepted for older packages' sake and should not be in new ones";
    /// A value set twice, of which one is lost.
    AssignedTwice, "assigned-twice", "only the last value counts";
    /// `y` where `yes` is wanted.
    YesNo, "yes-no", "only yes and no count, in upper or lower case; the file is refused";
    /// PACKAGE_NAME or PACKAGE_VERSION is not there.
    NameMissing, "name-missing", "dkms files the package under its name and version";
    /// PACKAGE_NAME or PACKAGE_VERSION with signs that make trouble.
    NameOdd, "name-odd", "name and version become names of directories and words on command lines";
    /// The source's directory has another name.
    DirectoryName, "directory-name", "'dkms add NAME/VERSION' looks for /usr/src/NAME-VERSION";
    /// Nothing to build.
    NoModule, "no-module", "without a module there is nothing to install";
    /// A hole in the arrays.
    ModuleUnnamed, "module-unnamed", "the highest index of the arrays counts, so every index below needs a name";
    /// `.ko` in a module's name.
    ModuleSuffix, "module-suffix", "dkms adds the suffix itself; the file is refused";
    /// A directory in a module's name, or a location outside the build directory.
    ModulePath, "module-path", "name and directory have directives of their own";
    /// Two modules with one name.
    ModuleDuplicate, "module-duplicate", "one would overwrite the other; the file is refused";
    /// DEST_MODULE_LOCATION is missing or leads elsewhere.
    Destination, "destination", "every module needs a place below /kernel, /updates or /extra";
    /// STRIP is neither yes nor no.
    Strip, "strip-value", "only the first letter counts, and everything but n is yes";
    /// `PATCH_MATCH` without `PATCH`, `MAKE[1]` without `MAKE_MATCH`.
    MatchWithout, "match-without", "entries of the two arrays belong together by their index";
    /// A patch outside patches/.
    PatchPath, "patch-path", "patches are looked for in the source's patches/ directory only";
    /// A patch that is not there.
    PatchMissing, "patch-missing", "the build fails for every kernel that the patch is for";
    /// A script that is not there.
    ScriptMissing, "script-missing", "dkms warns and goes on without it";
    /// A script that cannot be run.
    ScriptNotExecutable, "script-not-executable", "dkms warns and goes on without it";
    /// A regular expression that is none.
    RegexInvalid, "regex-invalid", "dkms cannot tell which kernels it is for";
    /// A dot that stands for any character.
    RegexDot, "regex-dot", "a plain dot stands for any character, a dot behind a backslash for a dot";
    /// No `^` in front of a version.
    RegexUnanchored, "regex-unanchored", "without ^ it matches anywhere in the release, also behind its point";
    /// `^6.1` also is 6.12.
    RegexTooMuch, "regex-too-much", "a version without an end is also the beginning of longer ones";
    /// No kernel can match.
    RegexNothing, "regex-nothing", "no kernel matches, so nothing is ever built by this entry";
    /// MAKE installs.
    MakeInstalls, "make-installs", "dkms installs what MAKE built; what MAKE installs, nobody removes, and other kernels may get it";
    /// MAKE does not say for which kernel.
    MakeIgnoresKernel, "make-ignores-kernel", "dkms builds for other kernels than the running one, and make is not told which";
    /// `uname` where a variable is.
    Uname, "uname", "it names the running kernel, which is seldom the one that is built for";
    /// `nproc` where dkms knows better.
    Nproc, "nproc", "dkms shares the processors out among all builds and gives make its jobs itself";
    /// A setting of framework.conf; the linter does not look there.
    Setting, "setting", "the file is refused";
    /// CONFINE and the like: with a wrong value, or in a package.
    Confine, "confine", "what a build may do is the administrator's choice: it is set in /etc/dkms/NAME.conf, and only there";
    /// Only bash can evaluate the file.
    NeedsBash, "needs-bash", "the file is run by a confined bash, which is slower, and knows neither root's files nor the network";
    /// Nobody can evaluate the file.
    CannotEvaluate, "cannot-evaluate", "dkms can do nothing with the package";
}
