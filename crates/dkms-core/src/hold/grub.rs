//! Selects grub's default entry in a file for grub-mkconfig, which reads `/etc/default/grub.d/*.cfg` as shell
//! code.

/// Returns the text of the file that selects the newest kernel that has its modules; `None` if this is the
/// newest kernel, or if no kernel has its modules. `kernels` are the installed kernels, oldest first, with
/// the required packages that each lacks.
pub(super) fn text(kernels: &[(String, Vec<String>)]) -> Option<String> {
    let (newest, missing) = kernels.last().filter(|(_, missing)| !missing.is_empty())?;
    let (selected, _) = kernels.iter().rev().find(|(_, missing)| missing.is_empty())?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if !selected.chars().all(legal) {
        return None;
    }
    let missing = missing.join(", ");
    // grub's 10_linux generates these identifiers of entries.
    Some(format!(
        "# Written by dkms, and removed when the newest kernel has its modules (hold_kernel in dkms-framework.conf(5)).\n\
         # Held: kernel {newest} lacks {missing}, so the default entry of grub is kernel {selected}\n\
         dkms_id=${{GRUB_DEVICE_UUID:-$GRUB_DEVICE}}\n\
         [ \"${{GRUB_DISABLE_UUID-}}\" != true ] || dkms_id=$GRUB_DEVICE\n\
         GRUB_DEFAULT=\"gnulinux-{selected}-advanced-$dkms_id\"\n\
         case ${{GRUB_DISABLE_SUBMENU-}} in\n\
         y | yes | true) ;;\n\
         *) GRUB_DEFAULT=\"gnulinux-advanced-$dkms_id>$GRUB_DEFAULT\" ;;\n\
         esac\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_with_its_modules_is_the_default() {
        let kernels = |list: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            list.iter().map(|(release, missing)| ((*release).to_owned(), owned(missing))).collect()
        };
        assert_eq!(text(&kernels(&[("6.1", &[]), ("6.2", &[])])), None);
        assert_eq!(text(&kernels(&[("6.1", &["zfs"]), ("6.2", &["zfs"])])), None);
        assert_eq!(text(&kernels(&[("6.1", &["zfs"]), ("6.2", &[])])), None);
        let held = text(&kernels(&[("6.0", &[]), ("6.1", &[]), ("6.2", &["zfs"])])).unwrap();
        assert!(held.contains("gnulinux-6.1-advanced-$dkms_id") && held.contains("6.2 lacks zfs"));
        assert_eq!(text(&kernels(&[("6.1 $(x)", &[]), ("6.2", &["zfs"])])), None);
    }
}
