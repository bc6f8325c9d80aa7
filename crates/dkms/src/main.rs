//! dkms: builds, installs and maintains kernel modules that are not part of the kernel.
#![forbid(unsafe_code)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![warn(unreachable_pub)]
mod actions;
mod answer;
mod cli;
mod commands;
mod default_version;
mod exit;
mod host;
mod managed;
mod operand;
mod printable;
mod render;
mod report;
mod request;
mod root;
mod settings;
mod surroundings;
mod timings;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    dkms_sys::signal::restore_child_signal();
    let pin = host::take_pin();
    let mut arguments = match cli::Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(cli::Stop::Text(text)) => {
            // If the pipe is closed, the reader does not need more.
            let _ = ui::to_stdout(&text);
            return ExitCode::SUCCESS;
        }
        Err(cli::Stop::Wrong(text)) => {
            ui::to_stderr(&text);
            return ExitCode::from(2);
        }
    };
    let ui = ui::Ui::new(&arguments);
    let result = commands::run(&mut arguments, pin, &ui);
    ui.finish(arguments.action_word(), &result)
}
