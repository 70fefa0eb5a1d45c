use backend_rocksdb::{RocksSource, RocksTarget, rocksdb::*};
use backup_core::{Source, Target, progress::Context, source::View, target::*};
use futures_util::{StreamExt, TryStreamExt};
use std::time::Instant;
fn rss() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .find(|l| l.starts_with("VmHWM"))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}
fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let what = std::env::args().nth(2).unwrap();
    let value: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let total: u64 = std::env::args().nth(4).unwrap().parse::<u64>().unwrap() << 20;
    let db = dir.join("db");
    let n = total / (value as u64 + 16);
    let t = Instant::now();
    match what.as_str() {
        "make" => {
            let d = DB::open_default(&db).unwrap();
            let mut b = WriteBatch::default();
            for i in 0..n {
                let k = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
                let mut v = testkit::noise(i, value / 2);
                v.resize(value, 7);
                b.put([&k[..], &i.to_be_bytes()[..]].concat(), v);
                if b.len() > 1000 {
                    d.write(std::mem::take(&mut b)).unwrap();
                }
            }
            d.write(b).unwrap();
            d.flush().unwrap();
            d.compact_range::<&[u8], &[u8]>(None, None);
        }
        "bare" => {
            let d = DB::open_for_read_only(&Options::default(), &db, false).unwrap();
            let mut ro = ReadOptions::default();
            ro.fill_cache(false);
            let mut it = d.raw_iterator_opt(ro);
            it.seek_to_first();
            let (mut c, mut b) = (0u64, 0u64);
            while let Some((k, v)) = it.item() {
                c += 1;
                b += (k.len() + v.len()) as u64;
                it.next();
            }
            println!("{c} {b}");
        }
        "scan" | "scan2" => pollster::block_on(async {
            let s = RocksSource::path(&db)
                .unwrap()
                .snapshot(View::Records, &Context::default())
                .await
                .unwrap();
            println!("snapshot {:?}", t.elapsed());
            let r = s.records().unwrap();
            let (mut c, mut b) = (0u64, 0u64);
            if what == "scan" {
                let mut st = r.scan(0, None);
                while let Some(x) = st.try_next().await.unwrap() {
                    c += x.len() as u64;
                    b += x.bytes() as u64;
                }
            } else {
                let sp = r.splits(0, 2).await.unwrap();
                let end = sp[0].clone();
                let (mut one, mut two) = (r.scan(0, None), r.scan(0, Some(&end)));
                let h = std::thread::spawn(move || {
                    pollster::block_on(async {
                        let (mut c, mut b) = (0u64, 0u64);
                        while let Some(x) = two.try_next().await.unwrap() {
                            c += x.len() as u64;
                            b += x.bytes() as u64;
                        }
                        (c, b)
                    })
                });
                'o: while let Some(x) = one.try_next().await.unwrap() {
                    for rec in x.iter() {
                        if end.compare(rec.root_key, rec.key).is_le() {
                            break 'o;
                        }
                        c += 1;
                        b += (rec.key.len() + rec.value.len()) as u64;
                    }
                }
                let (c2, b2) = h.join().unwrap();
                c += c2;
                b += b2;
            }
            println!("{c} {b}");
        }),
        "files" => pollster::block_on(async {
            let s = RocksSource::path(&db)
                .unwrap()
                .snapshot(View::Files, &Context::default())
                .await
                .unwrap();
            println!("{} files", s.files().unwrap().list().len());
        }),
        "batch" => {
            let src = DB::open_for_read_only(&Options::default(), &db, false).unwrap();
            let d = DB::open_default(dir.join("batch")).unwrap();
            let mut it = src.raw_iterator();
            it.seek_to_first();
            let mut b = WriteBatch::default();
            while let Some((k, v)) = it.item() {
                b.put(k, v);
                if b.len() >= 1000 {
                    d.write(std::mem::take(&mut b)).unwrap();
                }
                it.next();
            }
            d.write(b).unwrap();
            d.flush().unwrap();
        }
        "ingest" => pollster::block_on(async {
            let s = RocksSource::path(&db)
                .unwrap()
                .snapshot(View::Records, &Context::default())
                .await
                .unwrap();
            let origin = Origin { snapshot: "".into(), position: "".into(), taken: "".into() };
            let plan = RestorePlan {
                content: Content::Records {
                    layout: s.info().layout,
                    databases: s.info().databases.clone(),
                },
                existing: Existing::Refuse,
                origin,
            };
            let mut re = RocksTarget::path(dir.join("ingest"))
                .unwrap()
                .begin(plan, &Context::default())
                .await
                .unwrap();
            let mut st = s.records().unwrap().scan(0, None);
            while let Some(x) = st.next().await {
                re.load(0, x.unwrap()).await.unwrap();
            }
            println!("loaded {:?}", t.elapsed());
            println!("{:?}", re.finish().await.unwrap());
        }),
        _ => panic!(),
    }
    println!("{what} {:?} rss {} MiB", t.elapsed(), rss() / 1024);
}
