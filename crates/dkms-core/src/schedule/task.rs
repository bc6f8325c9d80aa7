//! A task of the scheduler: the steps of the plan for one build, and its progress.

use crate::build::{BuildError, HeadersMissing};
use crate::error::Error;
use crate::event::{LastBuild, Queued};
use crate::plan::{Operation, Plan, StepId, Transactions};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::BuildOrigin;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// A task of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId(usize);

/// The result of a task.
#[derive(Debug)]
pub enum Done {
    /// Built, and not to be installed.
    Built,
    /// Its modules are in place.
    Installed,
    /// The kernel has the same modules already.
    Nothing,
    /// BUILD_EXCLUSIVE does not allow it, for this reason.
    Skipped(String),
    /// It failed, or one of its dependencies failed.
    Failed(Arc<Error>),
    /// It cannot be built, and an older version is installed instead (`fallback=yes`).
    Replaced(PackageId),
    /// Not started, because of an error that ended everything for its kernel or for the command.
    Dropped,
}

impl Done {
    fn is_success(&self) -> bool {
        matches!(self, Self::Built | Self::Installed | Self::Nothing)
    }

    /// Returns the error, if the task failed because the headers are missing.
    pub(crate) fn headers_missing(&self) -> Option<&HeadersMissing> {
        match self {
            Self::Failed(error) => match &**error {
                Error::Build(BuildError::HeadersMissing(missing)) => Some(missing),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The progress of a task.
#[derive(Debug)]
pub(super) enum Progress {
    Waiting,
    Running {
        since: Instant,
    },
    /// There is nothing (more) to build.
    Built,
    Ended(Done),
}

/// The facts about a task before it starts.
#[derive(Debug)]
pub(super) enum Foreseen {
    Skipped(String),
    Failed(Arc<Error>),
}

/// The steps of a plan for one build.
#[derive(Debug)]
pub(super) struct Task<'a> {
    pub(super) id: TaskId,
    pub(super) build: &'a Build,
    /// `Some` if it is built, with whether an earlier build is replaced.
    pub(super) make: Option<bool>,
    /// It is uninstalled from its kernel first.
    pub(super) uninstall: bool,
    pub(super) install: bool,
    /// Its failure is not a failure of the command.
    pub(super) optional: bool,
    pub(super) foreseen: Option<Foreseen>,
    pub(super) last: Option<LastBuild>,
    /// Tasks that it follows.
    pub(super) after: Vec<TaskId>,
    /// It is done only if this other version of its package cannot be built.
    pub(super) instead_of: Option<TaskId>,
    pub(super) weight: f64,
    /// Seconds until everything that waits for it is built. The task with the longest time starts first.
    pub(super) critical_path: f64,
    /// It was installed before the rest of its transaction, because others had to be built against it.
    pub(super) installed_early: bool,
    /// The origin of its modules, once it is built.
    pub(super) origin: Option<BuildOrigin>,
    pub(super) progress: Progress,
}

impl Task<'_> {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.progress, Progress::Waiting)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }

    pub(super) fn is_built(&self) -> bool {
        matches!(self.progress, Progress::Built)
    }

    pub(super) fn done(&self) -> Option<&Done> {
        match &self.progress {
            Progress::Ended(done) => Some(done),
            _ => None,
        }
    }

    /// It failed, or does not support its kernel.
    pub(super) fn cannot_be_built(&self) -> bool {
        matches!(self.done(), Some(Done::Failed(_) | Done::Skipped(_)))
    }

    pub(super) fn succeeded(&self) -> bool {
        self.done().is_some_and(Done::is_success)
    }
}

/// All tasks of a command, each after those that it follows.
#[derive(Debug)]
pub(super) struct Tasks<'a>(Vec<Task<'a>>);

impl<'a> Tasks<'a> {
    /// The builds and installs of a plan.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut tasks: Vec<Task<'a>> = Vec::new();
        let mut task_of: BTreeMap<StepId, TaskId> = BTreeMap::new();
        for (step_id, step) in plan.steps() {
            let foreseen = match &step.operation {
                Operation::Build { .. }
                | Operation::Install { .. }
                | Operation::Uninstall(_)
                | Operation::Fallback { .. } => None,
                Operation::Skip(_) => Some(Foreseen::Skipped(step.reason.clone())),
                Operation::Fail { error, .. } => Some(Foreseen::Failed(error.clone())),
                _ => continue,
            };
            let Some(build) = step.operation.build() else { continue };
            let id = tasks.iter().find(|task| task.build == build).map_or(TaskId(tasks.len()), |t| t.id);
            if id.0 == tasks.len() {
                tasks.push(Task::new(id, build));
            }
            let instead_of = match &step.operation {
                Operation::Fallback { build, instead_of } => {
                    let newer = Build::new(instead_of, &build.kernel);
                    tasks.iter().find(|task| *task.build == newer).map(|task| task.id)
                }
                _ => None,
            };
            let Some(task) = tasks.get_mut(id.0) else { continue };
            task.instead_of = task.instead_of.or(instead_of);
            task.optional |= step.optional;
            match &step.operation {
                Operation::Build { replace, weight, .. } => {
                    (task.make, task.weight, task.last) = (Some(*replace), *weight, step.last);
                }
                Operation::Install { .. } => task.install = true,
                Operation::Uninstall(_) => task.uninstall = true,
                Operation::Fallback { .. } => {}
                _ => task.foreseen = foreseen,
            }
            let before = plan.before(step_id).filter_map(|step| task_of.get(&step).copied());
            let newer = task.instead_of;
            task.after.extend(before.filter(|other| *other != id && Some(*other) != newer));
            task_of.insert(step_id, id);
        }
        for task in &mut tasks {
            if task.make.is_none() && task.foreseen.is_none() && task.instead_of.is_none() {
                task.progress = Progress::Built;
            }
        }
        let mut tasks = Self(tasks);
        tasks.find_critical_paths();
        tasks
    }

    fn find_critical_paths(&mut self) {
        // Tasks that wait for another task come later in the list.
        for n in (0..self.0.len()).rev() {
            let Some(task) = self.0.get_mut(n) else { continue };
            task.critical_path = task.critical_path.max(0.0) + task.weight;
            let (behind, after) = (task.critical_path, task.after.clone());
            for before in after {
                if let Some(before) = self.0.get_mut(before.0) {
                    before.critical_path = before.critical_path.max(behind);
                }
            }
        }
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Task<'a>> {
        self.0.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task<'a>> {
        self.0.get_mut(id.0)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Task<'a>> {
        self.0.iter()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        (0..self.0.len()).map(TaskId)
    }

    pub(super) fn into_vec(self) -> Vec<Task<'a>> {
        self.0
    }

    /// Tasks that are to be built.
    pub(super) fn to_build(&self) -> impl Iterator<Item = &Task<'a>> {
        self.iter().filter(|task| task.make.is_some())
    }

    /// A build as it waits for its turn.
    pub(super) fn queued(&self, task: &Task<'_>) -> Queued {
        let before = task.after.iter().filter_map(|id| self.get(*id)).filter(|other| other.make.is_some());
        Queued {
            build: task.build.clone(),
            last: task.last,
            weight: task.weight,
            after: before.map(|other| other.build.clone()).collect(),
        }
    }

    /// Returns whether other tasks are built against it, so that it is installed as soon as it is built.
    pub(super) fn is_awaited(&self, id: TaskId) -> bool {
        let versions = self.versions(id);
        self.to_build().any(|task| task.after.iter().any(|other| versions.contains(other)))
    }

    /// A task, and those of the other versions of its package that replace it or that it replaces.
    pub(super) fn versions(&self, id: TaskId) -> Vec<TaskId> {
        let mut first = id;
        while let Some(newer) = self.get(first).and_then(|task| task.instead_of) {
            first = newer;
        }
        let mut found = vec![first];
        while let Some(older) = found.last().and_then(|last| self.fallback_of(*last)) {
            found.push(older);
        }
        found
    }

    fn fallback_of(&self, id: TaskId) -> Option<TaskId> {
        self.iter().find(|task| task.instead_of == Some(id)).map(|task| task.id)
    }

    /// Returns whether a task, or its replacement, succeeded; `None` until this is determined.
    pub(super) fn outcome(&self, id: TaskId) -> Option<bool> {
        let task = self.get(id)?;
        task.done()?;
        if task.succeeded() {
            return Some(true);
        }
        self.fallback_of(id).map_or(Some(false), |older| self.outcome(older))
    }

    /// Returns the package version that was installed, or was already present, instead of a version that
    /// cannot be built.
    pub(super) fn replacement(&self, id: TaskId) -> Option<&PackageId> {
        if self.get(id)?.succeeded() {
            return None;
        }
        let mut older = self.fallback_of(id);
        while let Some(task) = older.and_then(|id| self.get(id)) {
            if task.succeeded() {
                return Some(&task.build.package);
            }
            older = self.fallback_of(task.id);
        }
        None
    }

    /// The groups of tasks that are installed together.
    pub(super) fn groups(&self, transactions: Transactions) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for task in self.iter() {
            let kernel = match transactions {
                Transactions::Together => None,
                Transactions::PerKernel => Some(&task.build.kernel),
            };
            match groups.iter_mut().find(|group| group.kernel.as_ref() == kernel) {
                Some(group) => group.tasks.push(task.id),
                None => groups.push(Group { kernel: kernel.cloned(), tasks: vec![task.id], closed: false }),
            }
        }
        groups
    }
}

impl<'a> Task<'a> {
    fn new(id: TaskId, build: &'a Build) -> Self {
        Self {
            id,
            build,
            make: None,
            uninstall: false,
            install: false,
            optional: false,
            foreseen: None,
            last: None,
            after: Vec::new(),
            instead_of: None,
            weight: 0.0,
            critical_path: 0.0,
            installed_early: false,
            origin: None,
            progress: Progress::Waiting,
        }
    }
}

/// Returns whether the task is known to fail for a reason other than missing headers.
pub(super) fn is_other_failure(task: &Task<'_>) -> bool {
    matches!(&task.foreseen, Some(Foreseen::Failed(e)) if !is_found_late(e))
}

/// Returns whether a build reports this error only after it has checked that the tree is writable.
pub(super) fn is_found_late(e: &Error) -> bool {
    matches!(
        e,
        Error::Build(
            BuildError::HeadersMissing(_)
                | BuildError::DependsMissing { .. }
                | BuildError::DependencyFailed { .. }
        )
    )
}

/// Tasks whose installs are one transaction.
#[derive(Debug)]
pub(super) struct Group {
    kernel: Option<Kernel>,
    pub(super) tasks: Vec<TaskId>,
    /// The group is done.
    pub(super) closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Outlook, Step};

    #[test]
    fn the_longest_critical_path_begins() {
        let kernel = Kernel::new("6.1", "x86_64").unwrap();
        let build = |name: &str| Build::new(&PackageId { name: name.into(), version: "1".into() }, &kernel);
        let mut plan = Plan::default();
        let mut add = |name: &str, weight: f64, after: Option<StepId>| {
            let (one, replace) = (build(name), false);
            let make =
                plan.push(Step::new(Operation::Build { build: one.clone(), replace, weight }, ""), after);
            plan.push(Step::new(Operation::Install { build: one, outlook: Outlook::Changes }, ""), [make])
        };
        // a (2 s) is before b (5 s), which is before c (1 s); d alone takes 7 s.
        let a = add("a", 2.0, None);
        let b = add("b", 5.0, Some(a));
        add("c", 1.0, Some(b));
        add("d", 7.0, None);
        let tasks = Tasks::new(&plan);
        let paths: Vec<f64> = tasks.iter().map(|task| task.critical_path).collect();
        assert_eq!(paths, [8.0, 6.0, 1.0, 7.0]);
        let awaited: Vec<bool> = tasks.ids().map(|id| tasks.is_awaited(id)).collect();
        assert_eq!(awaited, [true, true, false, false]);
        assert_eq!(tasks.groups(Transactions::Together).len(), 1);
    }
}
