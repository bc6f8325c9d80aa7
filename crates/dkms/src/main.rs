//! dkms: builds, installs and looks after kernel modules that live outside the kernel.
#![forbid(unsafe_code)]
// Tests may use any function on their own files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod answer;
mod cli;
mod commands;
mod exit;
mod host;
mod managed;
mod printable;
mod render;
mod request;
mod root;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    let pin = host::take_pin();
    let mut arguments = match cli::Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(stop) => return stop.show(),
    };
    let ui = ui::Ui::new(&arguments);
    let result = commands::run(&mut arguments, pin, &ui);
    ui.finish(arguments.action_word(), &result)
}
