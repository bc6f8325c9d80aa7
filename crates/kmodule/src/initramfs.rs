//! stub
/// x
pub fn module_names(_b: &[u8]) -> Result<std::collections::BTreeSet<(String, String)>, String> {
    Ok(Default::default())
}
