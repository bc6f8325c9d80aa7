//! The steps that lead to a trusted key.

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// There is no key yet.
    MakeKey,
    /// Half of the pair is missing, or a file of it is no such thing.
    MendPair,
    /// Another key has to be made.
    ReplaceKey,
    /// The certificate is to be enrolled.
    Enroll,
    /// MokManager waits at the next start.
    Restart,
    /// The new pair is trusted and can be taken.
    Rotate,
    /// Keys cannot be enrolled here: there is no EFI firmware.
    NoFirmware,
    /// Root sees what is missing.
    LookAsRoot,
}

impl Step {
    /// Its stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::MakeKey => "make-key",
            Self::MendPair => "mend-pair",
            Self::ReplaceKey => "replace-key",
            Self::Enroll => "enroll",
            Self::Restart => "restart",
            Self::Rotate => "rotate",
            Self::NoFirmware => "no-firmware",
            Self::LookAsRoot => "look-as-root",
        }
    }
}

/// A step and what it means.
#[derive(Clone, Debug)]
pub struct Next {
    /// Which.
    pub step: Step,
    /// For people.
    pub text: String,
}
