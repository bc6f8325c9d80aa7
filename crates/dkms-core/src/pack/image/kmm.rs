//! The resource `Module` of KMM (kmm.sigs.x-k8s.io/v1beta1), which makes nodes load the modules of an image.

use super::ImageRequest;
use super::content::FIRMWARE;
use super::names::{OBJECT_MAX, Platform, object_name};
use crate::error::Result;
use crate::pack::modules::Modules;
use crate::request::UsageError;
use dkms_tree::layout::Layout;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Returns the resources for the images of a request. KMM loads one module and its dependencies for each
/// resource, so there is one resource for each module that no other module depends on.
///
/// # Errors
/// `--image` is not given, but nodes can pull an image only by its name in a registry; or as for
/// [`super::make`].
pub fn resources(layout: &Layout, request: &ImageRequest<'_>) -> Result<Vec<Value>> {
    if request.name.is_none() {
        let needed = "the name by which the cluster pulls the image: --image REGISTRY/NAME";
        return Err(UsageError::NeedsOption { option: "--kmm", needed }.into());
    }
    let mut roots: BTreeMap<String, Mappings> = BTreeMap::new();
    let mut arches: Vec<&'static str> = Vec::new();
    for kernel in request.kernels {
        let modules = Modules::read(layout, request.packages, kernel)?;
        let image = request.reference(kernel)?.to_string();
        arches.push(Platform::new(kernel)?.architecture);
        for module in modules.roots() {
            let mappings = roots.entry(module.name.to_string()).or_default();
            mappings.kernels.push((kernel.release.to_string(), image.clone()));
            mappings.firmware |= !modules.firmware.is_empty();
        }
    }
    arches.dedup();
    let selector = match arches.as_slice() {
        [arch] => json!({ "kubernetes.io/arch": arch }),
        _ => json!({ "kubernetes.io/os": "linux" }),
    };
    let single = roots.len() == 1;
    let mut names = Names::default();
    let package = request.packages.first().map(|p| p.name.clone()).unwrap_or_default();
    let module_resource = |(module, mappings): (String, Mappings)| {
        let name = names.unused(if single { &package } else { &module });
        resource(&name, &module, request.prefix, &mappings, &selector)
    };
    Ok(roots.into_iter().map(module_resource).collect())
}

/// The images with a module.
#[derive(Default)]
struct Mappings {
    /// Releases of kernels, and the images for them.
    kernels: Vec<(String, String)>,
    /// Whether an image contains firmware.
    firmware: bool,
}

fn resource(name: &str, module: &str, prefix: &str, mappings: &Mappings, selector: &Value) -> Value {
    let mut modprobe = Map::new();
    modprobe.insert("moduleName".into(), module.into());
    modprobe.insert("dirName".into(), format!("/{prefix}").into());
    if mappings.firmware {
        modprobe.insert("firmwarePath".into(), format!("/{FIRMWARE}").into());
    }
    let kernels: Vec<Value> = mappings
        .kernels
        .iter()
        .map(|(release, image)| json!({ "literal": release, "containerImage": image }))
        .collect();
    json!({
        "apiVersion": "kmm.sigs.x-k8s.io/v1beta1",
        "kind": "Module",
        "metadata": { "name": name },
        "spec": {
            "moduleLoader": { "container": { "modprobe": modprobe, "kernelMappings": kernels } },
            "selector": selector,
        },
    })
}

/// Makes names of objects unique: the names of two modules may become the same name of an object.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn unused(&mut self, word: &str) -> String {
        let name = object_name(word);
        let mut unused = name.clone();
        let mut number = 2;
        while self.0.contains(&unused) {
            let suffix = format!("-{number}");
            let start: String = name.chars().take(OBJECT_MAX - suffix.len()).collect();
            unused = format!("{}{suffix}", start.trim_end_matches('-'));
            number += 1;
        }
        self.0.push(unused.clone());
        unused
    }
}

/// Returns the resources as one JSON document. Several resources become a list, which kubectl accepts too.
#[must_use]
pub fn as_json(resources: &[Value]) -> Value {
    match resources {
        [resource] => resource.clone(),
        _ => json!({ "apiVersion": "v1", "kind": "List", "items": resources }),
    }
}

/// Returns the resources as YAML documents.
#[must_use]
pub fn as_yaml(resources: &[Value]) -> String {
    let mut text = String::new();
    for resource in resources {
        text.push_str("---\n");
        yaml(resource, 0, &mut text);
    }
    text
}

/// Appends a value to `text` in block style. Strings are quoted as in JSON, which is a subset of YAML.
fn yaml(value: &Value, depth: usize, text: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if value.is_object() || value.is_array() {
                    text.push_str(&format!("{pad}{key}:\n"));
                    yaml(value, depth + 1, text);
                } else {
                    text.push_str(&format!("{pad}{key}: {value}\n"));
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                let mut item = String::new();
                yaml(value, depth + 1, &mut item);
                let item = item.get(pad.len() + 2..).unwrap_or_default();
                text.push_str(&format!("{pad}- {item}"));
            }
        }
        scalar => text.push_str(&format!("{pad}{scalar}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_as_yaml() {
        let mappings = Mappings {
            kernels: vec![
                ("6.1.0-9-amd64".into(), "quay.io/x/hello:6.1.0-9-amd64".into()),
                ("6.12+x".into(), "quay.io/x/hello:6.12_x".into()),
            ],
            firmware: true,
        };
        let value =
            resource("hello", "hello_world", "opt", &mappings, &json!({ "kubernetes.io/arch": "amd64" }));
        let expected = r#"---
apiVersion: "kmm.sigs.x-k8s.io/v1beta1"
kind: "Module"
metadata:
  name: "hello"
spec:
  moduleLoader:
    container:
      kernelMappings:
        - containerImage: "quay.io/x/hello:6.1.0-9-amd64"
          literal: "6.1.0-9-amd64"
        - containerImage: "quay.io/x/hello:6.12_x"
          literal: "6.12+x"
      modprobe:
        dirName: "/opt"
        firmwarePath: "/firmware"
        moduleName: "hello_world"
  selector:
    kubernetes.io/arch: "amd64"
"#;
        assert_eq!(as_yaml(std::slice::from_ref(&value)), expected);
        assert_eq!(as_json(std::slice::from_ref(&value)), value);
        assert_eq!(as_json(&[value.clone(), value])["items"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn names_are_used_once() {
        let mut names = Names::default();
        assert_eq!(names.unused("a_b"), "a-b");
        assert_eq!(names.unused("a.b"), "a-b-2");
        let long = "x".repeat(60);
        assert_eq!(names.unused(&long).len(), 39);
        assert!(names.unused(&long).ends_with("x-2"));
    }
}
