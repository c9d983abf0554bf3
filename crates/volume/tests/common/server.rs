//! Servers on loopback: one that speaks S3 (s3s over a folder) and can fail, one that only sends files.

use std::future::Future;
use std::io::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

/// How a server fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It answers 503.
    Busy,
    /// The connection breaks before anything is done.
    Lost,
    /// What is asked is done, and the connection breaks before the answer.
    AnswerLost,
}

/// A fault: after how many requests (in order), for how long.
pub(crate) type Planned = (usize, Duration, Fault);

/// A server in this process, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    _runtime: Runtime,
}

#[derive(Default)]
pub(crate) struct State {
    plan: Vec<Planned>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    requests: usize,
    begun: usize,
    failed: usize,
    fault: Option<(Instant, Fault)>,
    most_at_once: usize,
    at_once: usize,
}

impl State {
    fn next_fault(&self, conditional: bool) -> Option<Fault> {
        let mut counted = self.counted.lock().unwrap();
        counted.requests += 1;
        if let Some(&(after, duration, fault)) = self.plan.get(counted.begun)
            && counted.requests >= after
            // What is lost first is the answer to a request that may not be made twice.
            && (conditional || !matches!(fault, Fault::AnswerLost))
        {
            counted.begun += 1;
            counted.fault = Some((Instant::now() + duration, fault));
        }
        let fault = counted.fault.filter(|(until, _)| Instant::now() < *until).map(|(_, fault)| fault);
        counted.failed += usize::from(fault.is_some());
        fault
    }

    fn begin(&self) {
        let mut counted = self.counted.lock().unwrap();
        counted.at_once += 1;
        counted.most_at_once = counted.most_at_once.max(counted.at_once);
    }

    fn end(&self) {
        self.counted.lock().unwrap().at_once -= 1;
    }

    /// How many requests came, and how many of them failed as planned.
    pub(crate) fn requests(&self) -> (usize, usize) {
        let counted = self.counted.lock().unwrap();
        (counted.requests, counted.failed)
    }

    /// How many requests were under way together.
    pub(crate) fn most_at_once(&self) -> usize {
        self.counted.lock().unwrap().most_at_once
    }
}

/// Starts a server that speaks S3: the folders in `folder` are its buckets.
pub(crate) fn s3(folder: &Path, plan: &[Planned]) -> Server {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single("key-of-the-test", "secret-of-the-test"));
    let service = builder.build();
    // The server looks at a condition and writes in two steps: one request that writes at a time makes them one, as a
    // store does.
    let turn = Arc::new(RwLock::new(()));
    start(plan, move |request| Box::pin(s3_answer(service.clone(), Arc::clone(&turn), request)))
}

async fn s3_answer(
    service: S3Service,
    turn: Arc<RwLock<()>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let _reading = if reads { Some(turn.read().await) } else { None };
    let _writing = if reads { None } else { Some(turn.write().await) };
    Service::call(&service, request).await.map_err(|e| Error::other(format!("{e:?}")))
}

/// Starts a server that sends the files of a folder, or parts of them where it knows `ranges`.
pub(crate) fn files(folder: &Path, ranges: bool) -> Server {
    let folder = folder.to_owned();
    start(&[], move |request| {
        let answer = file_answer(&folder, ranges, &request);
        Box::pin(async move { Ok(answer) })
    })
}

fn file_answer(folder: &Path, ranges: bool, request: &Request<Incoming>) -> Response<Body> {
    let status = |status: u16| Response::builder().status(status).body(Body::from(Vec::new())).unwrap();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return status(405);
    }
    let path: PathBuf = folder.join(request.uri().path().trim_start_matches('/').replace("%20", " "));
    let Ok(bytes) = std::fs::read(path) else { return status(404) };
    let range = request.headers().get("range").filter(|_| ranges).and_then(|value| {
        let (start, end) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?))
    });
    let Some((start, end)) = range else { return Response::new(Body::from(bytes)) };
    if start >= bytes.len() {
        return status(416);
    }
    let end = end.min(bytes.len() - 1);
    Response::builder()
        .status(206)
        .header("content-range", format!("bytes {start}-{end}/{}", bytes.len()))
        .body(Body::from(bytes[start..=end].to_vec()))
        .unwrap()
}

fn start(plan: &[Planned], answer: impl Fn(Request<Incoming>) -> Answer + Clone + Send + 'static) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let state = Arc::new(State { plan: plan.to_vec(), ..State::default() });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let of_server = Arc::clone(&state);
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (state, answer) = (Arc::clone(&of_server), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (state, answer) = (Arc::clone(&state), answer.clone());
                async move {
                    let headers = request.headers();
                    let conditional = headers.contains_key("if-none-match") || headers.contains_key("if-match");
                    let fault = state.next_fault(conditional);
                    match fault {
                        Some(Fault::Busy) => {
                            return Ok(Response::builder().status(503).body(Body::from(Vec::new())).unwrap());
                        }
                        Some(Fault::Lost) => return Err(Error::other("the connection breaks")),
                        Some(Fault::AnswerLost) | None => {}
                    }
                    state.begin();
                    let response = answer(request).await;
                    state.end();
                    if fault.is_some() { Err(Error::other("the answer is lost")) } else { response }
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            tokio::spawn(async move {
                // It ends with an error where a fault is planned.
                let _ = connection.await;
            });
        }
    });
    Server { address, state, _runtime: runtime }
}
