// Room node: the gRPC health check (grpc.health.v1.Health/Check) over cleartext HTTP/2, with the two messages it needs made by hand.
import { connect } from 'node:http2';
import type { IP } from '../../addr/ip.ts';
import type { ProbeResult } from './probe.ts';

const STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

export function askGrpc(ip: IP, port: number, service: string, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const session = connect(`http://${ip.includes(':') ? `[${ip}]` : ip}:${port}`);
    const finish = (ok: boolean, output: string) => {
      clearTimeout(timer);
      session.destroy();
      resolve({ ok, output });
    };
    const timer = setTimeout(() => {
      finish(false, `timeout: failed to connect service "${ip}:${port}" within ${timeoutMs} ms`);
    }, timeoutMs);
    session.on('error', (error) => finish(false, error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      'user-agent': 'kube-probe/1.34 grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let failure: string | undefined;
    const readStatus = (headers: Record<string, unknown>) => {
      const code = headers['grpc-status'];
      if (code !== undefined && code !== '0')
        failure = `error: health rpc failed: code ${code} ${headers['grpc-message'] ?? ''}`;
    };
    stream.on('response', readStatus);
    stream.on('trailers', readStatus);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', (error) => finish(false, error.message));
    stream.on('end', () => {
      const status = failure === undefined ? servingStatus(Buffer.concat(chunks)) : 0;
      finish(
        status === 1,
        failure ?? (status === 1 ? '' : `service unhealthy (responded with "${STATUS[status] ?? status}")`),
      );
    });
    stream.end(frame(healthRequest(service)));
  });
}

/** A gRPC message: not compressed, its length in four bytes, then the protobuf. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** HealthCheckRequest { string service = 1 } */
export function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  return name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** HealthCheckResponse { ServingStatus status = 1 }; 0 (UNKNOWN) when the field is not there. */
export function servingStatus(framed: Buffer): number {
  const message = framed.subarray(5);
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}
