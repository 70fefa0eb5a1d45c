//! The figures of `lthash`: the Criterion benches of `bench/`, with all that the processor has and with
//! AVX2 alone, as ratios.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::environment::Environment;
use crate::process;
use crate::workspace::Workspace;

/// A ratio of two benches.
struct Figure {
    what: &'static str,
    ours: &'static str,
    beside: &'static str,
    limit: Limit,
}

/// What a ratio must be.
#[derive(Clone, Copy)]
enum Limit {
    /// Of times: at most this.
    Time(f64),
    /// Of speeds: at least this.
    Speed(f64),
    /// Of times, to be read.
    None,
}

/// Both runs have these.
const FIGURES: [Figure; 9] = [
    Figure {
        what: "1,000 elements of 100 bytes, beside the arithmetic alone",
        ours: "short/lthash",
        beside: "short/floor",
        limit: Limit::Time(1.3),
    },
    Figure {
        what: "1,000 elements of 100 bytes, beside BLAKE3's XOF and an addition",
        ours: "short/lthash",
        beside: "short/blake3",
        limit: Limit::None,
    },
    Figure {
        what: "1,000 elements of 100 bytes, beside lthash-rs over BLAKE3",
        ours: "short/lthash",
        beside: "short/lthash-rs",
        limit: Limit::None,
    },
    Figure {
        what: "one element of 100 bytes alone, beside solana-lattice-hash",
        ours: "single/lthash",
        beside: "single/solana-lattice-hash",
        limit: Limit::Time(1.0),
    },
    Figure {
        what: "one update of 100 bytes alone, beside one insertion",
        ours: "update/one update",
        beside: "update/one insert",
        limit: Limit::Time(1.9),
    },
    Figure {
        what: "1,000 updates of 100 bytes, beside as many insertions",
        ours: "update/update",
        beside: "update/insert",
        limit: Limit::Time(1.9),
    },
    Figure {
        what: "values of 1 KiB, beside BLAKE3 of the same bytes and an expansion each",
        ours: "1 KiB/lthash",
        beside: "1 KiB/blake3",
        limit: Limit::Speed(0.8),
    },
    Figure {
        what: "the same with 36 bytes more, which need a second chunk",
        ours: "1 KiB/lthash and a key",
        beside: "1 KiB/blake3 and a key",
        limit: Limit::None,
    },
    Figure {
        what: "two threads, beside one",
        ours: "threads/2",
        beside: "threads/1",
        limit: Limit::Speed(1.9),
    },
];

/// The comparison that the promise is about, with the limits of the two runs.
const SOLANA: &str = "1,000 elements of 100 bytes, beside solana-lattice-hash";

const LENGTHS: [usize; 8] = [0, 1, 64, 100, 1000, 1024, 1025, 4096];
const COUNTS: [usize; 6] = [1, 3, 15, 16, 17, 1000];

/// Runs the benches and writes their table to `tables`.
pub(super) fn measure(
    workspace: &Workspace,
    environment: &Environment,
    tables: &Path,
) -> Result<()> {
    let mut table = String::from(
        "Medians of Criterion; a time is of all elements of a figure. Both sides use the same version \
         of `blake3`. The floor is the additions, exclusive ors and rotations of the compressions, in \
         registers.\n",
    );
    let avx512 = has_avx512();
    for (instructions, limit, here) in [("AVX-512", 0.75, avx512), ("AVX2", 0.35, true)] {
        writeln!(table, "\n### With {instructions}\n")?;
        if !here {
            writeln!(table, "Unmeasured: this processor has no AVX-512.")?;
            continue;
        }
        let home = environment.target().join(format!("criterion-{instructions}"));
        let mut bench = environment.cargo();
        bench.args(["bench", "--manifest-path"]).arg(workspace.root().join("bench/Cargo.toml"));
        if instructions == "AVX2" {
            bench.args(["--features", "avx2"]);
        }
        process::run(bench.env("CRITERION_HOME", &home))?;
        let measured = Measured { home };
        table.push_str(&measured.figures(limit)?);
        table.push_str(&measured.sweep()?);
    }
    fs::create_dir_all(tables).with_context(|| format!("cannot make {}", tables.display()))?;
    let path = tables.join("lthash.md");
    println!("\n{table}");
    fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

/// What Criterion kept of a run.
struct Measured {
    home: PathBuf,
}

impl Measured {
    /// The median of a bench, in nanoseconds.
    fn median(&self, bench: &str) -> Result<f64> {
        let path = self.home.join(bench).join("new/estimates.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: was it measured?", path.display()))?;
        let estimates: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        estimates["median"]["point_estimate"]
            .as_f64()
            .with_context(|| format!("{} has no median", path.display()))
    }

    fn figures(&self, most: f64) -> Result<String> {
        let mut table = String::from(
            "| figure | lthash | beside it | ratio | limit | holds |\n|---|---|---|---|---|---|\n",
        );
        let solana = Figure {
            what: SOLANA,
            ours: "short/lthash",
            beside: "short/solana-lattice-hash",
            limit: Limit::Time(most),
        };
        for figure in std::iter::once(&solana).chain(&FIGURES) {
            let (ours, beside) = (self.median(figure.ours)?, self.median(figure.beside)?);
            writeln!(table, "{}", figure.row(ours, beside))?;
        }
        Ok(table)
    }

    /// The times of every length and count beside one element after the other.
    fn sweep(&self) -> Result<String> {
        let mut table = String::from(
            "\nTime beside BLAKE3's XOF and an addition, one element after the other, by the length of \
             the elements (down) and their number (across):\n\n| bytes |",
        );
        for count in COUNTS {
            write!(table, " {count} |")?;
        }
        table.push_str("\n|---|");
        table.push_str(&"---|".repeat(COUNTS.len()));
        table.push('\n');
        for bytes in LENGTHS {
            write!(table, "| {bytes} |")?;
            for count in COUNTS {
                let of = |side| self.median(&format!("sweep {bytes} x {count}/{side}"));
                write!(table, " {:.2} |", of("lthash")? / of("blake3")?)?;
            }
            table.push('\n');
        }
        Ok(table)
    }
}

impl Figure {
    fn row(&self, ours: f64, beside: f64) -> String {
        let (ratio, limit, holds) = match self.limit {
            Limit::Time(most) => {
                (ours / beside, format!("time ≤ {most}"), Some(ours / beside <= most))
            }
            Limit::Speed(least) => {
                (beside / ours, format!("speed ≥ {least}"), Some(beside / ours >= least))
            }
            Limit::None => (ours / beside, "time".to_owned(), None),
        };
        let holds = holds.map_or("–", |holds| if holds { "yes" } else { "**no**" });
        let (ours, beside) = (micros(ours), micros(beside));
        format!("| {} | {ours} | {beside} | {ratio:.2} | {limit} | {holds} |", self.what)
    }
}

fn micros(nanoseconds: f64) -> String {
    if nanoseconds < 1e4 {
        format!("{nanoseconds:.0} ns")
    } else if nanoseconds < 1e7 {
        format!("{:.0} µs", nanoseconds / 1e3)
    } else {
        format!("{:.1} ms", nanoseconds / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_its_limit_holds() {
        let figure = |limit| Figure { what: "w", ours: "o", beside: "b", limit };
        let row = |limit, ours, beside| figure(limit).row(ours, beside);
        assert_eq!(
            row(Limit::Time(0.75), 70.0, 100.0),
            "| w | 70 ns | 100 ns | 0.70 | time ≤ 0.75 | yes |"
        );
        assert!(row(Limit::Time(0.75), 80.0, 100.0).ends_with("| **no** |"));
        assert!(row(Limit::Speed(1.9), 1e8, 1.8e8).ends_with("| 1.80 | speed ≥ 1.9 | **no** |"));
        assert!(row(Limit::Speed(1.9), 1e8, 1.95e8).contains("| 100.0 ms | 195.0 ms |"));
        assert!(row(Limit::None, 1.0, 2.0).ends_with("| 0.50 | time | – |"));
    }

    #[test]
    fn medians_are_read_from_what_criterion_keeps() {
        let home = std::env::temp_dir().join(format!("keepsum-criterion-{}", std::process::id()));
        let folder = home.join("short/lthash/new");
        fs::create_dir_all(&folder).expect("a folder");
        let text = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":331.5}}"#;
        fs::write(folder.join("estimates.json"), text).expect("a file");
        let measured = Measured { home: home.clone() };
        let median = measured.median("short/lthash").expect("it was measured");
        assert!((median - 331.5).abs() < 1e-9, "{median}");
        let error = measured.median("short/other").expect_err("it was not");
        assert!(error.to_string().contains("was it measured?"), "{error}");
        fs::remove_dir_all(home).expect("removed");
    }
}
