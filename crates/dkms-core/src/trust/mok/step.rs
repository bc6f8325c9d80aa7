//! The steps that lead to a trusted key.

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left to do.
    Nothing,
    /// There is no key yet.
    MakeKey,
    /// Half of the pair is missing, or one of its files is invalid.
    RepairPair,
    /// Another key must be created.
    ReplaceKey,
    /// The certificate must be enrolled.
    Enroll,
    /// MokManager waits for the next boot.
    Restart,
    /// The new pair is trusted and can be used.
    Rotate,
    /// Keys cannot be enrolled here: there is no EFI firmware.
    NoFirmware,
    /// Only root can read the missing facts.
    LookAsRoot,
}

impl Step {
    /// The word for scripts, which never changes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::MakeKey => "make-key",
            Self::RepairPair => "mend-pair",
            Self::ReplaceKey => "replace-key",
            Self::Enroll => "enroll",
            Self::Restart => "restart",
            Self::Rotate => "rotate",
            Self::NoFirmware => "no-firmware",
            Self::LookAsRoot => "look-as-root",
        }
    }
}

/// A step and its description.
#[derive(Clone, Debug)]
pub struct Next {
    /// The step.
    pub step: Step,
    /// The description for the user.
    pub text: String,
}
