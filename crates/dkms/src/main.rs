//! dkms: builds, installs and looks after kernel modules that live outside the kernel.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod exit;
mod host;
mod managed;
mod render;
mod request;
mod root;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = match cli::Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(stop) => return stop.show(),
    };
    let ui = ui::Ui::new(&arguments);
    let result = commands::run(&mut arguments, &ui);
    ui.finish(arguments.action_word(), &result)
}
