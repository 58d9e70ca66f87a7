import { describe, expect, it } from '@jest/globals';
import type { Json } from '../../../src/model.js';
import { conceal, concealText } from '../../../src/planning/conceal.js';

describe('a text', () => {
  it.each([
    ['redis-server --requirepass hunter2', 'redis-server --requirepass ***'],
    ['mysqladmin ping -h db -phunter2', 'mysqladmin ping -h db -p***'],
    ['run --password=hunter2 --port=80', 'run --password=*** --port=80'],
    ['run --db-password "hunter2" x', 'run --db-password "***" x'],
    ["run -token 'hunter2'", "run -token '***'"],
    ['PASSWORD=hunter2 exec app', 'PASSWORD=*** exec app'],
    ["PASSWORD='hunter 2, and more' exec app", "PASSWORD='***' exec app"],
    ['PASSWORD="hunter2; x', 'PASSWORD="***"; x'],
    ['PASSWORD=hunter,2 exec app', 'PASSWORD=*** exec app'],
    ['app --password "hunter 2" x', 'app --password "***" x'],
    ['app --password=$ecret-of-2', 'app --password=***'],
    ["mysqldump -p'hunter 2' db", "mysqldump -p'***' db"],
    ['POSTGRES_PASSWORD="hunter2" app', 'POSTGRES_PASSWORD="***" app'],
    ['{"api_key": "hunter2", "n": 1}', '{"api_key": "***", "n": 1}'],
    ['postgres://app:hunter2@db/x', 'postgres://app:***@db/x'],
    ['postgres://app:hun/t@er2@db/x', 'postgres://app:***@db/x'],
    ['redis://:hunter2@cache:6379', 'redis://:***@cache:6379'],
    ['https://hunter2@github.com/x.git', 'https://***@github.com/x.git'],
    [
      "curl -H 'Authorization: Bearer hunter2' http://x",
      "curl -H 'Authorization: Bearer ***' http://x",
    ],
    ['curl -H "X-Api-Key: hunter2"', 'curl -H "X-Api-Key: ***"'],
    [
      'a --access-key-id=AKIA --secret-access-key=hunter2',
      'a --access-key-id=AKIA --secret-access-key=***',
    ],
  ])('%s is shown as %s', (text, shown) => {
    expect(concealText(text)).toBe(shown);
  });

  it.each([
    'curl -f http://localhost:8080/health',
    'run --password-file=/run/secrets/db --token-path /x',
    'run --password=/run/secrets/db',
    'sh -c "redis-server --requirepass $PASSWORD"',
    'PASSWORD=${FROM_FILE} exec app',
    'ssh://git@host/x.git',
    'npx serve -p 8080',
    'compass --port 80',
    'node.labels.zone == a',
    'user@example.com',
  ])('%s has nothing to hide', (text) => {
    expect(concealText(text)).toBe(text);
  });
});

describe('a list of words', () => {
  it.each<[Json, Json]>([
    [
      ['app', '--password', 'hunter2', '--port', '80'],
      ['app', '--password', '***', '--port', '80'],
    ],
    [
      ['app', '--password=hunter 2, "and;more"', '--port=80'],
      ['app', '--password=***', '--port=80'],
    ],
    [
      ['sh', '-c', 'PASSWORD=hunter2 exec app --port 80'],
      ['sh', '-c', 'PASSWORD=*** exec app --port 80'],
    ],
    [
      ['env', 'DB_PASSWORD=hunt&er|2', 'app'],
      ['env', 'DB_PASSWORD=***', 'app'],
    ],
    [
      ['app', '--token', '--verbose'],
      ['app', '--token', '--verbose'],
    ],
    [
      ['mysqladmin', 'ping', '-phunter2'],
      ['mysqladmin', 'ping', '-p***'],
    ],
    [
      ['CMD-SHELL', 'mysqladmin ping -phunter2 || exit 1'],
      ['CMD-SHELL', 'mysqladmin ping -p*** || exit 1'],
    ],
    [
      ['serve', '-p8080'],
      ['serve', '-p8080'],
    ],
    [
      ['app', '--secret-file', '/x'],
      ['app', '--secret-file', '/x'],
    ],
  ])('%j is shown as %j', (words, shown) => {
    expect(conceal(words)).toEqual(shown);
  });
});
