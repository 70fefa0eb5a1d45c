//! The machine a figure was measured on.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::process;

/// What decides how fast a backup is, as far as the system tells.
pub(crate) struct Machine {
    processor: String,
    instructions: String,
    threads: usize,
    memory: String,
    system: String,
    file_system: String,
    compiler: String,
    commit: String,
}

impl Machine {
    /// Describes this machine, with the disk that holds `folder`.
    pub(crate) fn describe(folder: &Path) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let brand = || process::probe("sysctl", &["-n", "machdep.cpu.brand_string"]);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let folder = folder.to_string_lossy();
        Self {
            processor: known(field(&cpu, "model name").map(str::to_owned).or_else(brand)),
            instructions: instructions(field(&cpu, "flags").unwrap_or_default()),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            memory: known(field(&memory, "MemTotal").map(str::to_owned)),
            system: known(process::probe("uname", &["-sr"])),
            file_system: known(process::probe("stat", &["-f", "-c", "%T", &folder])),
            compiler: known(process::probe("rustc", &["--version"])),
            commit: known(process::probe("git", &["describe", "--always", "--dirty"])),
        }
    }
}

fn known(value: Option<String>) -> String {
    value.filter(|value| !value.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The instructions that BLAKE3 chooses between.
fn instructions(flags: &str) -> String {
    let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
    let found: Vec<_> =
        ["sse4_1", "avx2", "avx512f", "avx512vl"].into_iter().filter(|flag| has(flag)).collect();
    if found.is_empty() { "none known".to_owned() } else { found.join(", ") }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "processor:    {}, {} threads", self.processor, self.threads)?;
        writeln!(f, "instructions: {}", self.instructions)?;
        writeln!(f, "memory:       {}", self.memory)?;
        writeln!(f, "system:       {}", self.system)?;
        writeln!(f, "file system:  {}", self.file_system)?;
        writeln!(f, "compiler:     {}", self.compiler)?;
        write!(f, "commit:       {}", self.commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let text = "model\t\t: 7\nmodel name\t: A CPU @ 3: fast\nflags : sse4_1 avx2x avx512f\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 3: fast"));
        assert_eq!(instructions(field(text, "flags").unwrap_or_default()), "sse4_1, avx512f");
        assert_eq!(field(text, "absent"), None);
        assert_eq!(instructions(""), "none known");
    }
}
