// The first two seconds: is this node healthy, and if not, what is wrong. A pure function of what the daemon said.
import * as format from './format.js';
import {kSources} from './palette.js';

const kRecentMs = 5 * 60 * 1000;

/** [level, words] of a registry by its circuit breakers: "closed" lets requests through. */
export function registry_state(registry) {
  if (registry.state === 'open') return ['bad', 'does not answer'];
  if (registry.state === 'partly_open') return ['warn', 'one address fails'];
  return ['ok', 'answers'];
}

/**
 * `world`: {status, peers, pulls, errors, still: [{pull, why}], now_ms}. Returns [{level, text, href}], the worst
 * first.
 */
export function findings_of(world) {
  const found = [
    ...of_storage(world.status), ...of_registries(world.status), ...of_peers(world), ...of_pulls(world),
    ...of_errors(world)
  ];
  if (!world.status.ready)
    found.unshift({level: 'warn', text: 'It takes no new clients: it is starting or draining.', href: '#main'});
  if (world.outdated)
    found.push({level: 'warn', text: `The daemon is version ${world.status.version} now: reload this page.`, href: ''});
  return found.sort((a, b) => (a.level === 'bad' ? 0 : 1) - (b.level === 'bad' ? 0 : 1));
}

function of_storage({storage}) {
  if (!storage.writable) {
    return [
      {level: 'bad', text: 'The disk takes no writes. Pulls go on through memory; nothing new is kept.', href: '#cache'}
    ];
  }
  if (storage.free_bytes <= storage.floor_bytes) {
    return [{
      level: 'bad',
      href: '#cache',
      text: `The file system has ${format.bytes(storage.free_bytes)} left, less than its floor of ` +
          `${format.bytes(storage.floor_bytes)}. Nothing new is kept.`
    }];
  }
  return [];
}

function of_registries({registries}) {
  return (registries || [])
      .map((one) => ({one, state: registry_state(one)}))
      .filter(({state}) => state[0] !== 'ok')
      .map(({one, state}) => ({
             level: state[0],
             href: '#cache',
             text: `${one.name} ${
                       state[0] === 'bad' ? 'does not answer and is not asked for a while' :
                                            'has an address that fails'}` +
                 `${one.last_error ? ` (${one.last_error})` : ''}. What is in the cache or with peers is still served.`,
           }));
}

function of_peers({status, peers}) {
  const found = [];
  if (status.peers && status.peers.total > 0) {
    const {total, eligible} = status.peers;
    if (eligible === 0) {
      found.push({
        level: 'bad',
        href: '#ring',
        text: `None of ${format.many(total, 'peer')} can be used: this node pulls alone.`
      });
    } else if (eligible * 2 < total) {
      found.push({
        level: 'warn',
        href: '#ring',
        text: `Only ${format.count(eligible)} of ${format.count(total)} peers can be used.`
      });
    }
  }
  if (peers?.trouble)
    found.push({level: 'warn', href: '#ring', text: `The list of members is not up to date: ${peers.trouble}`});
  const liars = (peers?.peers || []).filter((peer) => peer.state === 'suspended').map((peer) => peer.name);
  if (liars.length) {
    const names = liars.slice(0, 3).join(', ') + (liars.length > 3 ? ` and ${liars.length - 3} more` : '');
    found.push({
      level: 'warn',
      href: '#ring',
      text: `${names} sent wrong bytes and ${liars.length === 1 ? 'is' : 'are'} not asked for now.`
    });
  }
  return found;
}

function of_pulls({pulls, still, now_ms}) {
  const found =
      still.slice(0, 3).map(({pull, why}) => ({level: 'bad', href: '#pulls', text: `${name_of(pull)}: ${lower(why)}`}));
  if (still.length > 3)
    found.push({level: 'bad', href: '#pulls', text: `${still.length - 3} more pulls make no progress.`});
  const failed =
      (pulls?.recent || []).filter((pull) => pull.state === 'failed' && now_ms - Date.parse(pull.ended) < kRecentMs);
  if (failed.length) {
    const last = failed[0];
    found.push({
      level: 'bad',
      href: '#pulls',
      text: failed.length === 1 ? `The pull of ${name_of(last)} failed: ${last.error || 'no reason was told'}` :
                                  `${failed.length} pulls failed in the last minutes, the last of ${name_of(last)}: ${
                                      last.error || 'no reason was told'}`
    });
  }
  return found;
}

function of_errors({errors, now_ms}) {
  const recent =
      (errors?.errors || []).filter((one) => one.level === 'error' && now_ms - Date.parse(one.last) < kRecentMs);
  if (!recent.length) return [];
  const more = recent.length > 1 ? ` (and ${format.many(recent.length - 1, 'other error')})` : '';
  return [{level: 'warn', href: '#errors', text: `Error: ${recent[0].message}${more}`}];
}

/** As people write it: Docker Hub's images without their registry, all others with it. */
export function name_of(pull) {
  if (!pull.repository) return format.short_digest(pull.digest);
  return !pull.registry || pull.registry === 'docker.io' ? pull.repository : `${pull.registry}/${pull.repository}`;
}
const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

export function headline(findings) {
  const bad = findings.filter((one) => one.level === 'bad').length;
  if (bad) return {level: 'bad', text: `Needs attention: ${format.many(bad, 'problem')}`};
  if (findings.length) return {level: 'warn', text: `Works, with ${format.many(findings.length, 'warning')}`};
  return {level: 'ok', text: 'Healthy'};
}

/** Where bytes come from, in one sentence. `rates`: by source, bytes a second or null. */
export function sentence(status, rates, pulls) {
  const running = pulls ? pulls.running.length : status.pulls_running;
  const work = running ? `${format.many(running, 'pull')} in progress.` : 'No pull is in progress.';
  const total = kSources.reduce((sum, source) => sum + (rates[source.key] || 0), 0);
  if (total >= 1) {
    const parts = kSources.filter((source) => rates[source.key] > total / 1000)
                      .map((source) => `${format.percent(rates[source.key] / total)} ${source.long}`);
    return `Clients get ${format.rate(total)}: ${parts.join(', ')}. ${work}`;
  }
  const served = status.served.storage_bytes + status.served.peer_bytes + status.served.upstream_bytes;
  const given = status.transfers.peer_out_bytes;
  if (!served && given) return `No client has asked since the start; peers got ${format.bytes(given)} from here. ${work}`;
  if (!served) return `Nothing has been served since the start. ${work}`;
  const spared = format.percent((served - status.served.upstream_bytes) / served);
  return `No bytes flow at the moment; ${spared} of ${
      format.bytes(served)} served since the start came without the upstream registry. ${work}`;
}
