// Room lb: asks and tells the neighbours on the node's link, in ARP and NDP, who has an address.
import { familyOf, type IP } from '../addr/ip.ts';
import type { MAC } from '../addr/mac.ts';
import { type LinkSocket, openIcmp6Socket, openPacketSocket } from '../sys/link-socket.ts';
import { arpAnnouncement, arpRequest, decodeArp, ETH_P_ARP } from '../wire/arp.ts';
import {
  ALL_NODES,
  decodeAdvertisement,
  ND_ADVERT,
  neighbourAnnouncement,
  neighbourSolicitation,
  solicitedNode,
} from '../wire/ndp.ts';

const EVERYBODY = 'ff:ff:ff:ff:ff:ff';

export interface NodeLink {
  readonly index: number;
  readonly mac: MAC;
  /** The node's addresses on it, one per family. */
  readonly ips: readonly IP[];
}

/** Neither answers for anything: that is the kernel's. */
export class Neighbours {
  readonly #link: NodeLink;
  readonly #arp: LinkSocket<MAC> | undefined;
  readonly #ndp: LinkSocket<IP> | undefined;

  /** `onAnswer`: a neighbour said that it has `ip`; also unasked. */
  constructor(link: NodeLink, onAnswer: (ip: IP, mac: MAC) => void) {
    this.#link = link;
    const hear = (ip: IP, mac: MAC) => {
      if (mac !== link.mac) onAnswer(ip, mac);
    };
    const has = (family: 4 | 6) => link.ips.some((ip) => familyOf(ip) === family);
    if (has(4)) {
      this.#arp = openPacketSocket(ETH_P_ARP, link.index, (bytes) => {
        const packet = decodeArp(bytes);
        if (packet) hear(packet.senderIP, packet.senderMAC);
      });
    }
    if (has(6)) {
      this.#ndp = openIcmp6Socket(ND_ADVERT, link.index, (bytes) => {
        const advert = decodeAdvertisement(bytes);
        if (advert?.mac) hear(advert.target, advert.mac);
      });
    }
  }

  ask(ip: IP): void {
    const { mac, ips } = this.#link;
    if (familyOf(ip) === 6) this.#ndp?.send(neighbourSolicitation(ip, mac), solicitedNode(ip));
    else this.#arp?.send(arpRequest(mac, ips.find((own) => familyOf(own) === 4)!, ip), EVERYBODY);
  }

  /** Unasked: `ip` is here. */
  announce(ip: IP): void {
    const { mac } = this.#link;
    if (familyOf(ip) === 6) this.#ndp?.send(neighbourAnnouncement(ip, mac), ALL_NODES);
    else this.#arp?.send(arpAnnouncement(mac, ip), EVERYBODY);
  }

  close(): void {
    this.#arp?.close();
    this.#ndp?.close();
  }
}
