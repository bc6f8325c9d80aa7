//! Reads the command line: `dkms ACTION [options] [MODULE/VERSION | DIR | FILE]`, options and operands in any
//! order.
//!
//! The tables of [`crate::actions`] list the actions and options. This module turns them into typed values.

mod mistakes;

pub(crate) use mistakes::unknown_action;

use crate::actions::help::{self, HELP};
use crate::actions::{Action, DEPRECATED, Effect, OPTIONS, Operand, Opt, OptionRow, Relation, Value};
use crate::operand::{absolute, names_a_path};
use clap::builder::{OsStringValueParser, PathBufValueParser, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use dkms_core::tree::layout::Layout;
use mistakes::wrong_line;
use std::ffi::{OsStr, OsString};
use std::num::ParseIntError;
use std::path::{Path, PathBuf};

/// The name of the operands in clap.
const WORDS: &str = "WORDS";

/// Declares [`Arguments`] and the function that fills them. Each option has a line: a flag, a value of this
/// type, or a list of values.
macro_rules! arguments {
    (
        flags { $($flag:ident = $flag_opt:ident,)* }
        values { $($(#[$doc:meta])* $value:ident: $kind:ty = $value_opt:ident,)* }
        lists { $($list:ident = $list_opt:ident,)* }
    ) => {
        /// A command line, with a field for each option. An empty value counts as no value, because scripts
        /// pass variables that may be empty.
        #[derive(Debug, Default)]
        pub(crate) struct Arguments {
            /// The operands without the action.
            pub words: Vec<String>,
            /// Whether the version was given, but empty, because a script passed an empty variable.
            pub empty_version: bool,
            /// Whether `--timings` was given.
            pub timings: bool,
            /// The file of `--timings`, which is optional.
            pub timings_file: Option<PathBuf>,
            $(pub $flag: bool,)*
            $($(#[$doc])* pub $value: Option<$kind>,)*
            $(pub $list: Vec<String>,)*
            /// Every option that was given.
            given: Vec<Opt>,
            /// The action, if there is one.
            pub action: Option<Action>,
            /// A second action, which is an error.
            pub second_action: Option<Action>,
        }

        impl Given {
            /// The options, without those that [`Self::finish`] reads.
            fn options(&mut self) -> Arguments {
                Arguments {
                    $($flag: self.flag(Opt::$flag_opt),)*
                    $($value: self.value(Opt::$value_opt),)*
                    $($list: self.values(Opt::$list_opt),)*
                    ..Arguments::default()
                }
            }
        }
    };
}

arguments! {
    flags {
        all_kernels = AllKernels,
        all = All,
        force = Force,
        force_version_override = ForceVersionOverride,
        no_depmod = NoDepmod,
        no_cache = NoCache,
        modprobe_on_install = ModprobeOnInstall,
        symlink_modules = SymlinkModules,
        rpm_safe_upgrade = RpmSafeUpgrade,
        repair = Repair,
        fix = Fix,
        fingerprint = Fingerprint,
        dry_run = DryRun,
        binaries_only = BinariesOnly,
        source_only = SourceOnly,
        kmm = Kmm,
        load = Load,
        loaded = Loaded,
        table = Table,
        json = Json,
        quiet = Quiet,
        verbose = Verbose,
        debug = Debug,
        plain = Plain,
    }
    values {
        module: String = Module,
        module_version: String = ModuleVersion,
        templatekernel: String = TemplateKernel,
        conf: PathBuf = Conf,
        kernelsourcedir: PathBuf = KernelSourceDir,
        config: PathBuf = KernelConfig,
        jobs: u32 = Jobs,
        lock_timeout: u64 = LockTimeout,
        mok_signing_key: PathBuf = MokSigningKey,
        mok_certificate: PathBuf = MokCertificate,
        prebuilt: String = Prebuilt,
        archive: PathBuf = Archive,
        spec: PathBuf = Spec,
        output: PathBuf = Output,
        image: String = Image,
        base: PathBuf = Base,
        prefix: PathBuf = Prefix,
        format: String = Format,
        os: String = Os,
        sysext_level: String = SysextLevel,
        fleet: PathBuf = Fleet,
        metrics: PathBuf = Metrics,
        dkmstree: PathBuf = DkmsTree,
        sourcetree: PathBuf = SourceTree,
        installtree: PathBuf = InstallTree,
        root: PathBuf = Root,
        /// An option of mkdriverdisk in dkms 3: the distribution.
        distro: String = Distro,
        /// An option of mkdriverdisk in dkms 3: the kind of image.
        media: String = Media,
        /// An option of mkdriverdisk in dkms 3: the release of SUSE.
        release: String = Release,
    }
    lists {
        kernels = Kernel,
        arches = Arch,
        directives = Directive,
        registries = Registry,
    }
}

/// The reason why there is no command to run.
pub(crate) enum Stop {
    /// Help or the version was requested: the text.
    Text(String),
    /// The command line is wrong: the message.
    Wrong(String),
}

impl Arguments {
    /// Reads a command line, whose first word is the name of the program.
    ///
    /// # Errors
    /// Help or the version was requested, or the command line is wrong.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let line: Vec<OsString> = words.into_iter().collect();
        match command().try_get_matches_from(&line) {
            Ok(matches) => Given::new(matches).finish(),
            Err(error) => {
                // --help and --version are effective even if a later option is wrong.
                let before = command().ignore_errors(true).try_get_matches_from(&line);
                match before.map(|matches| Given::new(matches).finish()) {
                    Ok(Err(Stop::Text(text))) => Err(Stop::Text(text)),
                    _ => Err(Stop::Wrong(wrong_line(&error))),
                }
            }
        }
    }

    /// Sorts the words into the action and its operands.
    fn sort_words(&mut self) {
        for word in std::mem::take(&mut self.words) {
            // In 'dkms mok status', the second word is an operand and not an action.
            let is_operand = self.action.is_some_and(
                |action| matches!(action.row().operand, Operand::Words(words) | Operand::WordAndPackage(words) if words.contains(&&*word)),
            );
            match Action::from_word(&word).filter(|_| !is_operand) {
                Some(action) if self.action.is_none() => self.action = Some(action),
                Some(action) if self.second_action.is_none() => self.second_action = Some(action),
                Some(_) => {}
                None => self.words.push(word),
            }
        }
    }

    /// Treats a registry after the module like the value of `--registry`.
    fn take_registry(&mut self) {
        let takes_registry = |action: Action| action.row().operand == Operand::PackageAndRegistry;
        if self.action.is_some_and(takes_registry) {
            let modules = usize::from(self.module.is_none()).min(self.words.len());
            self.registries.extend(self.words.drain(modules..));
        }
    }

    /// The action's word, for messages.
    pub(crate) fn action_word(&self) -> &'static str {
        self.action.map_or("dkms", Action::word)
    }

    /// Whether an option applies to the action.
    pub(crate) fn applies(&self, opt: Opt) -> bool {
        self.action.is_some_and(|action| action.row().relation(opt) != Relation::Foreign)
    }

    /// The given options that do not apply to the action, in the order of the table.
    pub(crate) fn misplaced(&self) -> Vec<&'static OptionRow> {
        OPTIONS.iter().filter(|row| self.given.contains(&row.opt) && !self.applies(row.opt)).collect()
    }

    /// The given options that have no effect any more.
    pub(crate) fn deprecated(&self) -> Vec<&'static OptionRow> {
        DEPRECATED.iter().filter(|opt| self.given.contains(opt)).map(|opt| opt.row()).collect()
    }

    /// Whether this command is a query: it only prints something, even on a machine that is broken.
    pub(crate) fn is_query(&self) -> bool {
        self.action.is_some_and(|action| match action.row().effect {
            Effect::Queries => true,
            Effect::QueriesUnless(opt) => !self.given.contains(&opt),
            Effect::QueriesFor(word) => self.words.iter().all(|operand| operand == word),
            Effect::QueriesExceptFor(words) => {
                !self.words.first().is_some_and(|operand| words.contains(&&**operand))
            }
            Effect::Evaluates | Effect::Changes => false,
        })
    }

    /// Whether interrupted changes are recovered before the action runs. `fsck` reports them itself before it
    /// repairs them, and `lint` only works on one file.
    pub(crate) fn recovers_first(&self) -> bool {
        let effect = self.action.map(|action| action.row().effect);
        matches!(effect, Some(Effect::Changes | Effect::QueriesFor(_))) && !self.is_query()
    }

    /// Whether this command may run programs of the system: it builds, installs or removes something.
    pub(crate) fn runs_programs(&self) -> bool {
        !self.is_query() && !self.dry_run && self.action.is_some_and(|action| action.row().runs_programs)
    }

    /// Replaces every path on the command line by the result of `convert`, except for the three trees.
    pub(crate) fn map_paths(&mut self, mut convert: impl FnMut(&Path) -> PathBuf) {
        // A spec file that does not exist here is a path in the source tree.
        if let Some(spec) = self.spec.as_mut().filter(|spec| spec.exists()) {
            *spec = convert(spec);
        }
        let options = [
            &mut self.conf,
            &mut self.config,
            &mut self.kernelsourcedir,
            &mut self.archive,
            &mut self.output,
            &mut self.base,
            &mut self.mok_certificate,
            &mut self.mok_signing_key,
        ];
        for path in
            options.into_iter().flatten().filter(|path| !path.to_string_lossy().starts_with("pkcs11:"))
        {
            *path = convert(path);
        }
        // A report is written to the machine, and not to the other system.
        let are_outputs = self.action.is_some_and(|action| action.row().operand == Operand::Output);
        for word in self.words.iter_mut().filter(|word| !are_outputs && names_a_path(word)) {
            if let Ok(path) = convert(Path::new(word)).into_os_string().into_string() {
                *word = path;
            }
        }
    }

    /// Sets the trees that the command line names.
    pub(crate) fn set_trees(&self, layout: &mut Layout) {
        for (to, from) in [
            (&mut layout.dkms_tree, &self.dkmstree),
            (&mut layout.source_tree, &self.sourcetree),
            (&mut layout.install_tree, &self.installtree),
        ] {
            if let Some(path) = from {
                *to = absolute(path);
            }
        }
        // Builds in another tree do not go into the cache of the machine.
        if self.dkmstree.is_some() {
            layout.cache_dir = layout.dkms_tree.join(".cache");
        }
    }
}

/// The parser, made from the table of options.
fn command() -> Command {
    let words = Arg::new(WORDS).action(ArgAction::Append).value_parser(text());
    Command::new("dkms")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args_override_self(true)
        .arg(words)
        .args(OPTIONS.iter().map(argument))
}

fn argument(row: &'static OptionRow) -> Arg {
    let mut arg = Arg::new(row.id());
    if let Some(short) = row.short {
        arg = arg.short(short);
    }
    if !row.long.is_empty() {
        arg = arg.long(row.long);
    }
    if !row.takes_value() {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.value_name(row.value_name);
    let arg = match row.value {
        Value::OptionalFile => arg.num_args(0..=1).require_equals(true).default_missing_value(""),
        _ => arg,
    };
    let arg = if row.repeatable { arg.action(ArgAction::Append) } else { arg };
    match row.value {
        // With an empty value, a command for an image would work on this machine, so that is an error.
        Value::Directory if row.opt == Opt::Root => arg.value_parser(PathBufValueParser::new().map(Some)),
        Value::File | Value::OptionalFile | Value::Directory => {
            arg.value_parser(OsStringValueParser::new().map(|path| non_empty(path).map(PathBuf::from)))
        }
        Value::Jobs => arg.value_parser(number::<u32>),
        Value::Seconds => arg.value_parser(number::<u64>),
        _ => arg.value_parser(text()),
    }
}

fn text() -> impl TypedValueParser<Value = Option<String>> {
    StringValueParser::new().map(non_empty)
}

/// A value; none if it is empty.
fn non_empty<T: AsRef<OsStr>>(word: T) -> Option<T> {
    Some(word).filter(|word| !word.as_ref().is_empty())
}

/// A number; none if the word is empty.
fn number<T: std::str::FromStr<Err = ParseIntError>>(word: &str) -> Result<Option<T>, ParseIntError> {
    if word.is_empty() { Ok(None) } else { word.parse().map(Some) }
}

/// Takes the values from the result of clap, and records which options were given.
struct Given {
    matches: ArgMatches,
    given: Vec<Opt>,
}

impl Given {
    fn new(matches: ArgMatches) -> Self {
        Self { matches, given: Vec::new() }
    }

    fn flag(&mut self, opt: Opt) -> bool {
        let set = self.matches.try_remove_one(opt.row().id()).ok().flatten().unwrap_or(false);
        self.note(opt, set);
        set
    }

    fn value<T: Clone + Send + Sync + 'static>(&mut self, opt: Opt) -> Option<T> {
        let value = self.matches.try_remove_one::<Option<T>>(opt.row().id()).ok().flatten().flatten();
        self.note(opt, value.is_some());
        value
    }

    fn values(&mut self, opt: Opt) -> Vec<String> {
        let values = self.list(opt.row().id());
        self.note(opt, !values.is_empty());
        values
    }

    fn list(&mut self, id: &str) -> Vec<String> {
        let values = self.matches.try_remove_many::<Option<String>>(id).ok().flatten();
        values.into_iter().flatten().flatten().collect()
    }

    fn note(&mut self, opt: Opt, given: bool) {
        if given {
            self.given.push(opt);
        }
    }

    /// Returns the command line, or what to print instead.
    fn finish(mut self) -> Result<Arguments, Stop> {
        let words = self.list(WORDS);
        if self.flag(Opt::Help) || words.first().is_some_and(|word| word == HELP) {
            return Err(help_about(&words));
        }
        if self.flag(Opt::Version) {
            return Err(Stop::Text(format!("dkms-{}\n", env!("CARGO_PKG_VERSION"))));
        }
        for opt in DEPRECATED {
            match opt.row().value {
                Value::Flag => drop(self.flag(opt)),
                _ => drop(self.value::<String>(opt)),
            }
        }
        let is_given = |opt: Opt| self.matches.try_contains_id(opt.row().id()).unwrap_or(false);
        let (has_version, timings) = (is_given(Opt::ModuleVersion), is_given(Opt::Timings));
        let timings_file = self.value(Opt::Timings);
        // The option counts as given even without a file.
        self.note(Opt::Timings, timings && timings_file.is_none());
        let options = self.options();
        let empty_version = has_version && options.module_version.is_none();
        let mut arguments =
            Arguments { words, empty_version, timings, timings_file, given: self.given, ..options };
        arguments.sort_words();
        arguments.take_registry();
        Ok(arguments)
    }
}

/// Help about the action among these words, or the overview if there are no words.
fn help_about(words: &[String]) -> Stop {
    let words = match words.split_first() {
        Some((first, rest)) if first == HELP => rest,
        _ => words,
    };
    let action = words.iter().find_map(|word| Action::from_word(word));
    match action {
        Some(action) => Stop::Text(help::action_help(action.row())),
        None if words.iter().all(|word| word == HELP) => Stop::Text(help::overview()),
        None => Stop::Wrong(format!("dkms: error: {}\n", unknown_action(words))),
    }
}

#[cfg(test)]
mod tests;
