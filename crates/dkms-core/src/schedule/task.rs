//! The tasks of the scheduler. A task consists of the steps of the plan for one build, and their progress.

use crate::build::{BuildError, HeadersMissing};
use crate::error::Error;
use crate::event::{LastBuild, Queued};
use crate::plan::{Operation, Plan, Step, StepId, Transactions};
use dkms_tree::ids::{Build, Kernel, PackageId};
use dkms_tree::manifest::BuildOrigin;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The number of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskId(usize);

/// The result of a task.
#[derive(Debug)]
pub enum Done {
    /// It is built, and is not to be installed.
    Built,
    /// It is installed.
    Installed,
    /// The kernel already has the same modules.
    Nothing,
    /// It is skipped, because BUILD_EXCLUSIVE does not allow it. The text is the reason.
    Skipped(String),
    /// It failed, or one of its dependencies failed.
    Failed(Arc<Error>),
    /// It cannot be built, and an older version is installed instead (`fallback=yes`).
    Replaced(PackageId),
    /// It was not executed: an error ended the command or the work for its kernel, or it was not needed.
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
    /// The build exists, and is to be installed.
    Built,
    Ended(Done),
}

/// A result of a task that is known from the plan.
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
    /// Whether the build replaces an earlier one; `None` if nothing is to be built.
    pub(super) make: Option<bool>,
    /// Whether it is uninstalled first.
    pub(super) uninstall: bool,
    pub(super) install: bool,
    /// Whether a failure is not a failure of the command.
    pub(super) optional: bool,
    pub(super) foreseen: Option<Foreseen>,
    /// The last build of its package.
    pub(super) last: Option<LastBuild>,
    /// The tasks that it follows.
    pub(super) after: Vec<TaskId>,
    /// The newer version of its package. This task is executed only if that version cannot be built.
    pub(super) instead_of: Option<TaskId>,
    /// The estimated work of the build, in seconds.
    pub(super) weight: f64,
    /// The estimated seconds until it and all its dependents are built. The task with the longest critical
    /// path starts first.
    pub(super) critical_path: f64,
    /// It was installed before the rest of its group, because others had to be built against it.
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

    /// Returns whether it failed, or does not support its kernel.
    pub(super) fn cannot_be_built(&self) -> bool {
        matches!(self.done(), Some(Done::Failed(_) | Done::Skipped(_)))
    }

    pub(super) fn succeeded(&self) -> bool {
        self.done().is_some_and(Done::is_success)
    }
}

/// All tasks of a command. In the list, each task comes after the tasks that it follows.
#[derive(Debug)]
pub(super) struct Tasks<'a>(Vec<Task<'a>>);

impl<'a> Tasks<'a> {
    /// Creates the tasks for the builds and installs of a plan.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut tasks = Self(Vec::new());
        let mut task_of: BTreeMap<StepId, TaskId> = BTreeMap::new();
        for (step_id, step) in plan.steps() {
            let is_in_task = matches!(
                step.operation,
                Operation::Build { .. }
                    | Operation::Install { .. }
                    | Operation::Uninstall(_)
                    | Operation::Fallback { .. }
                    | Operation::Skip(_)
                    | Operation::Fail { .. }
            );
            let Some(build) = step.operation.build().filter(|_| is_in_task) else { continue };
            let id = tasks.find(build).unwrap_or(TaskId(tasks.0.len()));
            if id.0 == tasks.0.len() {
                tasks.0.push(Task::new(id, build));
            }
            let newer = match &step.operation {
                Operation::Fallback { instead_of, .. } => tasks.find(&Build::new(instead_of, &build.kernel)),
                _ => None,
            };
            let Some(task) = tasks.get_mut(id) else { continue };
            task.instead_of = task.instead_of.or(newer);
            task.add_step(step);
            let before = plan.before(step_id).filter_map(|step| task_of.get(&step).copied());
            let newer = task.instead_of;
            task.after.extend(before.filter(|other| *other != id && Some(*other) != newer));
            task_of.insert(step_id, id);
        }
        for task in &mut tasks.0 {
            if task.make.is_none() && task.foreseen.is_none() && task.instead_of.is_none() {
                task.progress = Progress::Built;
            }
        }
        tasks.find_critical_paths();
        tasks
    }

    fn find(&self, build: &Build) -> Option<TaskId> {
        self.iter().find(|task| task.build == build).map(|task| task.id)
    }

    fn find_critical_paths(&mut self) {
        // The dependents of a task come later in the list.
        for n in (0..self.0.len()).rev() {
            let Some(task) = self.0.get_mut(n) else { continue };
            task.critical_path += task.weight;
            let (length, after) = (task.critical_path, task.after.clone());
            for before in after {
                if let Some(before) = self.get_mut(before) {
                    before.critical_path = before.critical_path.max(length);
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

    /// The tasks that are to be built.
    pub(super) fn to_build(&self) -> impl Iterator<Item = &Task<'a>> {
        self.iter().filter(|task| task.make.is_some())
    }

    /// Describes a waiting build for the sink.
    pub(super) fn queued(&self, task: &Task<'_>) -> Queued {
        let before = task.after.iter().filter_map(|id| self.get(*id)).filter(|other| other.make.is_some());
        Queued {
            build: task.build.clone(),
            last: task.last,
            weight: task.weight,
            after: before.map(|other| other.build.clone()).collect(),
        }
    }

    /// Returns whether other builds depend on a task, so that it is installed as soon as it is built.
    pub(super) fn is_awaited(&self, id: TaskId) -> bool {
        let versions = self.versions(id);
        self.to_build().any(|task| task.after.iter().any(|other| versions.contains(other)))
    }

    /// Returns the tasks of all versions of a package that can replace each other, newest first. `id` is one
    /// of them.
    pub(super) fn versions(&self, id: TaskId) -> Vec<TaskId> {
        let mut first = id;
        while let Some(newer) = self.get(first).and_then(|task| task.instead_of) {
            first = newer;
        }
        std::iter::successors(Some(first), |newer| self.fallback_of(*newer)).collect()
    }

    /// Returns the task of the next older version, which is executed if this task fails.
    fn fallback_of(&self, id: TaskId) -> Option<TaskId> {
        self.iter().find(|task| task.instead_of == Some(id)).map(|task| task.id)
    }

    /// Returns whether a task or one of its fallbacks succeeded; `None` if this is not known yet.
    pub(super) fn outcome(&self, id: TaskId) -> Option<bool> {
        let task = self.get(id)?;
        task.done()?;
        if task.succeeded() {
            return Some(true);
        }
        self.fallback_of(id).map_or(Some(false), |older| self.outcome(older))
    }

    /// Returns the older package version that was installed, or was already installed, if this task failed.
    pub(super) fn replacement(&self, id: TaskId) -> Option<&PackageId> {
        if self.get(id)?.succeeded() {
            return None;
        }
        let older = std::iter::successors(self.fallback_of(id), |newer| self.fallback_of(*newer));
        older.filter_map(|id| self.get(id)).find(|task| task.succeeded()).map(|task| &task.build.package)
    }

    /// Returns the groups of tasks that are installed together.
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

    fn add_step(&mut self, step: &Step) {
        self.optional |= step.optional;
        match &step.operation {
            Operation::Build { replace, weight, .. } => {
                (self.make, self.weight, self.last) = (Some(*replace), *weight, step.last);
            }
            Operation::Install { .. } => self.install = true,
            Operation::Uninstall(_) => self.uninstall = true,
            Operation::Skip(_) => self.foreseen = Some(Foreseen::Skipped(step.reason.clone())),
            Operation::Fail { error, .. } => self.foreseen = Some(Foreseen::Failed(error.clone())),
            _ => {}
        }
    }
}

/// Returns whether the plan contains another failure of this task than missing headers or dependencies.
pub(super) fn is_other_failure(task: &Task<'_>) -> bool {
    matches!(&task.foreseen, Some(Foreseen::Failed(e)) if !is_found_late(e))
}

/// Returns whether an executed build checks for this error only after it has checked that the tree is
/// writable.
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
    /// Whether the installs of the group are done.
    pub(super) closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Outlook;

    #[test]
    fn critical_paths() {
        let kernel = Kernel::new("6.1", "x86_64").unwrap();
        let build = |name: &str| Build::new(&PackageId { name: name.into(), version: "1".into() }, &kernel);
        let mut plan = Plan::default();
        let mut add = |name: &str, weight: f64, after: Option<StepId>| {
            let (build, replace) = (build(name), false);
            let operation = Operation::Build { build: build.clone(), replace, weight };
            let built = plan.push(Step::new(operation, ""), after);
            plan.push(Step::new(Operation::Install { build, outlook: Outlook::Changes }, ""), [built])
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
